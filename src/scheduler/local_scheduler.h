// The scheduler of one node: queues, runners, memory.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cluster/view.h"
#include "engine/loadable_engine.h"
#include "io/task_group.h"
#include "io/world.h"
#include "scheduler/gguf_plans.h"
#include "scheduler/graphics_memory.h"
#include "scheduler/memory_plans.h"
#include "scheduler/model_entry.h"
#include "scheduler/quarantine.h"
#include "scheduler/scheduler.h"
#include "scheduler/waiting_room.h"

namespace om::scheduler {

struct LocalSchedulerOptions {
  std::string name;              // Of the node, in decisions.
  engine::LaunchOptions launch;  // What all runners share: program, directory, limits, KV type.
  double processors = 0;         // NodeResources::processors; 0: not told.
  uint64_t memory_total = 0;     // For all runners together, at most.
  uint64_t memory_reserve = 0;   // To leave free of the memory that note_memory_left() tells.
  int default_context = 4096;    // OLLAMA_CONTEXT_LENGTH.
  int num_parallel = 0;          // OLLAMA_NUM_PARALLEL; 0: as many as memory allows, up to 4.
  int loaded_max = 0;            // OLLAMA_MAX_LOADED_MODELS; 0: as many as memory allows.
  size_t queue_max = 512;        // OLLAMA_MAX_QUEUE, over all models.
  io::Duration keep_alive = std::chrono::minutes(5);  // OLLAMA_KEEP_ALIVE; negative: forever.
  io::Duration backoff_first = std::chrono::seconds(1);
  io::Duration backoff_max = std::chrono::seconds(60);
};

// What a request is told if the queue is full, in Ollama's words.
Error queue_full();

// decide() says what to do for the head of each queue; this class asks it after every change, and
// does it. Everything between two awaits is one step, so that its state is never half changed: a
// request is settled (granted or refused) before its coroutine wakes.
class LocalScheduler final : public Scheduler {
 public:
  LocalScheduler(io::World& world, LocalSchedulerOptions options, engine::EngineFactory make_engine,
                 std::unique_ptr<MemoryPlans> plans);
  ~LocalScheduler() override;

  io::Task<Result<std::unique_ptr<Lease>>> acquire(Target target, AcquireOptions options,
                                                   io::Call call) override;
  bool unload(const Digest& key) override;
  // A pinned model is not evicted and its keep-alive does not run out; only unload() ends that.
  // False: the model is not in memory.
  bool pin(const Digest& key, bool pinned);
  bool is_pinned(const Digest& key) const;  // Also while it is not in memory, after a death.
  bool is_loaded(const Digest& key) const;  // Or loading.
  // This node drains: split models that it is the main node of end once they are idle, however long
  // they were to be kept. Else nodes that have parts of them could not hold them for another one.
  void end_split();
  // Called when unload() ended a pin; null: no more.
  void on_unpin(std::function<void()> callback) { on_unpin_ = std::move(callback); }
  // Called with a model that could not be read or loaded: its files may have rotted. Null: no more.
  void on_doubt(std::function<void(const Target&)> callback) { on_doubt_ = std::move(callback); }
  std::vector<LoadedModel> loaded() const override;
  // For this node alone, by what its runner did; what is warm there is not known here.
  std::shared_ptr<PlacementDecision> dry_run(const Target& target,
                                             const AcquireOptions& options) override;
  io::Task<void> stop() override;

  GgufPlanOptions plan_options() const {
    return {options_.launch, options_.num_parallel, options_.memory_total};
  }
  int wanted_context(const Target& target) const;  // The context to load it with.
  // Memory that the machine has left now. Mapped files, such as weights, count as left. From now on
  // no load begins for which other programs left no room.
  void note_memory_left(uint64_t bytes);
  // Cards that runners may use as well; `left` of their memory is free now. `graphics` is asked
  // again before a load.
  void use_graphics(std::unique_ptr<GraphicsMemory> graphics, uint64_t left);
  uint64_t memory_total() const { return main_total_ + graphics_total_; }  // For runners, now.
  // For loads from now on. Nothing may be loaded or loading.
  void use_engines(engine::EngineFactory factory) { make_engine_ = std::move(factory); }

  cluster::NodeInfo node_info(std::string name) const;  // For the cluster's View.
  size_t waiting() const { return room_.size(); }
  uint64_t memory_used() const;  // By runners and loads, estimated or measured.

 private:
  friend class LocalLease;

  // local_scheduler.cpp: requests.
  io::Task<Result<std::vector<Plan>>> plans_for(const Target& target, int context);
  Result<void> admit(const ModelEntry& entry, const Waiter& waiter);
  io::Task<Result<void>> make_plans(const Target& target, Waiter& waiter);
  io::Task<Result<std::unique_ptr<Lease>>> wait_for_grant(const Target& target, Waiter& waiter,
                                                          io::Call call);
  Result<void> enter(const Digest& key, ModelEntry& entry, Waiter& waiter);
  void leave(ModelEntry& entry, Waiter& waiter, bool served);
  bool can_grant(const Digest& key, const ModelEntry& entry, const Waiter& waiter) const;
  void release(const Digest& key, const std::shared_ptr<Instance>& instance,
               std::list<RunningRequest>::iterator request, bool answered);
  ModelEntry* find_entry(const Digest& key, const Instance& instance);  // Null: not its runner now.
  void note_first_token(Instance& instance, RunningRequest& request);
  void note_progress(const Digest& key, Instance& instance, RunningRequest& request,
                     const engine::PromptProgress& progress);
  void learn(const Digest& key, Instance& instance, const RunningRequest& request,
             const RunTimes& times);
  void distrust(const std::shared_ptr<Instance>& instance, const Error& error);
  ModelEntry& entry_of(const Target& target);
  LoadedModel loaded_model(const Digest& key, const ModelEntry& entry) const;
  cluster::RunnerInfo runner_info(const ModelEntry& entry, LoadedModel model) const;
  void forget_empty_entries();

  // pump.cpp: decisions carried out.
  void pump();
  // True: ask again. `ahead`: the first of the models before it that waits for room.
  bool pump_model(const Digest& key, ModelEntry& entry, std::optional<Ahead>& ahead);
  bool perform(const Digest& key, ModelEntry& entry, Waiter& head, const Action& action,
               const std::vector<Digest>& others);
  NodeState node_state(const Digest& key, std::vector<Digest>& others) const;
  RunnerState runner_state(const ModelEntry& entry, const Instance& instance) const;
  static Demand demand_of(const ModelEntry& entry, const Waiter& waiter);
  void grant(ModelEntry& entry, Waiter& waiter);
  void refuse(ModelEntry& entry, Waiter& waiter, Error error);
  void refuse_all(ModelEntry& entry, const Error& error);
  void refuse_failed(ModelEntry& entry);  // Requests whose launch has failed.
  void refuse_displaced(uint64_t id);
  void refuse_expired();
  void keep_what_is_not_in_the_way();
  void end_idle();
  void wake_at(io::TimePoint when);
  void arm_timer();
  void start_keep_alive(ModelEntry& entry);

  // local_memory.cpp: what there is to lend.
  static uint64_t bytes_of(const Instance& instance);
  static uint64_t graphics_of(const Instance& instance);
  uint64_t sum_of(uint64_t (*bytes)(const Instance&)) const;
  uint64_t graphics_used() const;
  uint64_t graphics_free() const;
  bool uses_cards(const Target& target) const;
  bool is_loading() const;
  void lend(uint64_t main_total, uint64_t graphics_total);
  io::Task<void> measure_graphics();
  void measure_instance(Instance& instance) const;

  // runners.cpp: children.
  void begin_load(const Digest& key, ModelEntry& entry, const Waiter& head, const Plan& plan);
  io::Task<void> run_load(Digest key, std::shared_ptr<Instance> instance);
  void load_failed(const Digest& key, const Instance& instance, Error error);
  void end(const Digest& key, const std::shared_ptr<Instance>& instance, std::string_view reason);
  io::Task<void> run_end(Digest key, std::shared_ptr<Instance> instance);
  void died(const Digest& key, const std::weak_ptr<Instance>& instance);
  void back_off(ModelEntry& entry);
  engine::LaunchOptions launch_options(const Target& target, const Plan& plan) const;

  io::World& world_;
  LocalSchedulerOptions options_;
  std::function<void()> on_unpin_;
  std::function<void(const Target&)> on_doubt_;
  engine::EngineFactory make_engine_;
  std::unique_ptr<MemoryPlans> plans_;
  std::map<Digest, std::unique_ptr<ModelEntry>> models_;
  uint64_t main_total_ = 0, graphics_total_ = 0;  // Set by lend().
  std::unique_ptr<GraphicsMemory> graphics_;      // Null: there are no cards.
  io::TimePoint graphics_at_{};
  bool measuring_graphics_ = false;
  Quarantine quarantine_;
  WaitingRoom room_;
  uint64_t last_waiter_ = 0;
  MeasuredRate load_rate_{1 << 20};  // Bytes a second, beyond what every load takes.
  bool stopping_ = false, pumping_ = false, pump_again_ = false;
  // Counts the calls of acquire() that run: stop() waits for them, too.
  struct Entered {
    explicit Entered(LocalScheduler& its) : scheduler(its) { scheduler.inside_++; }
    ~Entered() {
      if (--scheduler.inside_ == 0) scheduler.left_.notify_all();
    }
    Entered(const Entered&) = delete;
    LocalScheduler& scheduler;
  };
  size_t inside_ = 0;
  io::Event left_;
  io::TimePoint wake_at_ = io::kNever, timer_at_ = io::kNever;
  io::Clock::TimerId timer_ = 0;
  // Leases may outlive the scheduler; they look here first.
  std::shared_ptr<LocalScheduler*> self_ = std::make_shared<LocalScheduler*>(this);
  io::TaskGroup tasks_;
};

}  // namespace om::scheduler
