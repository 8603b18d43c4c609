// Random clients, crashes, unloads and leavers against one simulated node, again and again.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/log.h"
#include "scheduler/local_scheduler.h"
#include "scheduler/scripted_engines_for_test.h"
#include "sim/world.h"

namespace om::scheduler {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Script;
using testing::target;

constexpr size_t kQueueMax = 6;
constexpr uint64_t kMemory = 600;

struct Step {
  enum class What { start, start_batch, start_poison, finish, leave, crash, unload, wait } what;
  int model = 0, context = 0, number = 0;
};

Step any_step() {
  using What = Step::What;
  return {*rc::gen::element(What::start, What::start, What::start, What::start_batch,
                            What::start_poison, What::finish, What::finish, What::leave,
                            What::crash, What::unload, What::wait, What::wait),
          *rc::gen::inRange(0, 4), *rc::gen::element(1000, 4000, 16000), *rc::gen::inRange(0, 20)};
}

struct Client {
  io::CancelSource source;
  std::unique_ptr<Lease> lease;
  std::optional<Error> error;
  std::string model;
  int context = 0;
  bool finish = false, done = false;
};

class Simulation {
 public:
  Simulation()
      : scheduler_(sim_.world(), options(), testing::scripted_engines(sim_.clock(), script_),
                   std::make_unique<testing::SimplePlans>(std::vector<int>{3, 1})) {
    set_log_level(LogLevel::off);
  }

  void run(const std::vector<Step>& steps) { sim_.run(play(steps)); }
  const std::vector<std::string>& broken() const { return broken_; }

 private:
  static LocalSchedulerOptions options() {
    LocalSchedulerOptions options;
    options.memory_total = kMemory;
    options.queue_max = kQueueMax;
    return options;
  }

  io::Task<void> play(std::vector<Step> steps) {
    for (const Step& step : steps) {
      act(step);
      check();
      const io::Duration pause = step.what == Step::What::wait ? io::Duration(seconds(step.number))
                                                               : milliseconds(step.number);
      auto slept = co_await sim_.clock().sleep_for(pause);
      expect(slept.has_value(), "time passes");
      check();
    }
    co_await come_to_rest();
    co_await scheduler_.stop();
    expect(script_.engines.empty(), "no engine is left after the stop");
  }

  // Liveness: with every holder finishing, everybody who waits is served or refused.
  io::Task<void> come_to_rest() {
    for (int i = 0; i < 600; i++) {
      for (Client& client : clients_) finish(client);
      auto slept = co_await sim_.clock().sleep_for(seconds(1));
      expect(slept.has_value(), "time passes");
      check();
    }
    for (const Client& client : clients_) expect(client.done, "nobody waits for ever");
    expect(scheduler_.waiting() == 0, "the queue is empty at rest");
  }

  void act(const Step& step) {
    const std::string name = fmt::format("m{}", step.model);
    Client* client = clients_.empty() ? nullptr : &clients_[step.number % clients_.size()];
    switch (step.what) {
      case Step::What::start:
        return start(name, step.context, Priority::interactive, "");
      case Step::What::start_batch:
        return start(name, step.context, Priority::batch, "");
      case Step::What::start_poison:
        return start(name, step.context, Priority::interactive, "poison");
      case Step::What::finish:
        return client ? finish(*client) : void();
      case Step::What::leave:
        return client ? client->source.cancel() : void();
      case Step::What::crash:
        if (auto* engine = script_.find(name)) engine->die();
        return;
      case Step::What::unload:
        scheduler_.unload(Digest::of(name));
        return;
      case Step::What::wait:
        return;
    }
  }

  void start(const std::string& name, int context, Priority priority, std::string fingerprint) {
    Client& client = clients_.emplace_back();
    client.model = name;
    client.context = context;
    AcquireOptions options;
    options.priority = priority;
    options.fingerprint = std::move(fingerprint);
    io::spawn_detached(sim_.world().executor, serve(client, std::move(options)));
  }

  io::Task<void> serve(Client& client, AcquireOptions options) {
    Target wanted = target(client.model, client.context);
    auto lease = co_await scheduler_.acquire(std::move(wanted), std::move(options),
                                             io::Call{io::kNever, client.source.token()});
    client.done = true;
    if (!lease) {
      client.error = lease.error();
      co_return;
    }
    client.lease = std::move(*lease);
    expect(client.lease->engine().properties().context_length >= client.context,
           "the context is as large as was asked for");
    if (client.finish) client.lease.reset();
  }

  void finish(Client& client) {
    client.finish = true;
    client.lease.reset();
  }

  void check() {
    uint64_t used = 0;
    for (const LoadedModel& model : scheduler_.loaded()) {
      used += model.size_bytes;
      expect(model.running <= model.slots, "no slot is given twice");
    }
    expect(used <= kMemory, "memory is not over-committed");
    expect(scheduler_.waiting() <= kQueueMax, "the queue is bounded");
  }

  void expect(bool holds, const char* what) {
    if (!holds) broken_.emplace_back(what);
  }

  sim::World sim_{7};
  Script script_;
  LocalScheduler scheduler_;
  std::deque<Client> clients_;
  std::vector<std::string> broken_;
};

RC_GTEST_PROP(SchedulerProperty, HoldsItsBoundsAndLosesNobody, ()) {
  const int count = *rc::gen::inRange(0, 60);
  std::vector<Step> steps;
  for (int i = 0; i < count; i++) steps.push_back(any_step());
  Simulation simulation;
  simulation.run(steps);
  const std::vector<std::string> none;
  RC_ASSERT(simulation.broken() == none);
}

}  // namespace
}  // namespace om::scheduler
