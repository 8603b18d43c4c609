// Scripted engines and plans for tests of this room and of those above, in simulated time.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

#include "io/clock.h"
#include "scheduler/local_scheduler.h"

namespace om::scheduler::testing {

class ScriptedEngine;

// How engines behave, and what became of them.
struct Script {
  io::Duration load_time = std::chrono::seconds(2);
  io::Duration stop_time = std::chrono::milliseconds(100);
  std::map<std::string, Error> load_errors;  // By model name.
  std::set<ScriptedEngine*> engines;         // Those that exist.
  std::vector<std::string> loads;            // "name@context" in order.
  std::vector<engine::CompletionRequest> asked;
  uint64_t anonymous_bytes = 0, graphics_bytes = 0;  // Of each.

  ScriptedEngine* find(const std::string& name) const;
};

// Serves nothing; loads, dies and stops as told.
class ScriptedEngine final : public engine::LoadableEngine {
 public:
  ScriptedEngine(io::Clock& clock, Script& script, engine::LaunchOptions options)
      : clock_(clock), script_(script), options_(std::move(options)) {
    script_.engines.insert(this);
  }
  ~ScriptedEngine() override {
    EXPECT_FALSE(running_) << "an engine was destroyed before it was stopped";
    script_.engines.erase(this);
  }

  io::Task<Result<void>> load(io::Call call) override {
    script_.loads.push_back(fmt::format("{}@{}", options_.name, options_.context_length));
    CO_TRY_VOID(co_await clock_.sleep_for(script_.load_time, call));
    const auto error = script_.load_errors.find(options_.name);
    if (error != script_.load_errors.end()) co_return fail(error->second);
    properties_.context_length = options_.context_length;
    properties_.slots = options_.slots;
    running_ = alive_ = true;
    co_return Result<void>{};
  }
  io::Task<void> stop() override {
    alive_ = false;
    auto slept = co_await clock_.sleep_for(script_.stop_time);
    EXPECT_TRUE(slept);
    running_ = false;
  }
  void die(engine::Blame blame = engine::Blame::death) {
    alive_ = false;
    blame_ = blame;
    if (on_death_) std::exchange(on_death_, nullptr)();
  }

  bool alive() const override { return alive_; }
  engine::Blame blame() const override { return blame_; }
  void on_death(std::function<void()> callback) override { on_death_ = std::move(callback); }
  double load_progress() const override { return 0.5; }
  io::ProcessMemory memory() const override { return {0, script_.anonymous_bytes}; }
  engine::GraphicsUse graphics() const override { return {script_.graphics_bytes, false}; }
  const engine::Properties& properties() const override { return properties_; }
  const engine::LaunchOptions& options() const { return options_; }

  io::Task<Result<std::unique_ptr<engine::Completion>>> complete(engine::CompletionRequest request,
                                                                 io::Call) override {
    script_.asked.push_back(std::move(request));
    co_return fail(Errc::unsupported, "a scripted engine answers nothing");
  }
  io::Task<Result<engine::EmbeddingResult>> embed(std::vector<engine::Token>, bool,
                                                  io::Call) override {
    co_return fail(Errc::unsupported, "a scripted engine answers nothing");
  }
  io::Task<Result<std::vector<engine::Token>>> tokenize(std::string, bool, io::Call) override {
    co_return fail(Errc::unsupported, "a scripted engine answers nothing");
  }
  io::Task<Result<std::string>> detokenize(std::vector<engine::Token>, io::Call) override {
    co_return fail(Errc::unsupported, "a scripted engine answers nothing");
  }

 private:
  io::Clock& clock_;
  Script& script_;
  engine::LaunchOptions options_;
  engine::Properties properties_;
  bool running_ = false, alive_ = false;
  engine::Blame blame_ = engine::Blame::death;
  std::function<void()> on_death_;
};

inline ScriptedEngine* Script::find(const std::string& name) const {
  for (ScriptedEngine* engine : engines) {
    if (engine->options().name == name && engine->alive()) return engine;
  }
  return nullptr;
}

// 100 bytes for the weights and one for each 100 tokens of context; the batch that is asked for.
class SimplePlans final : public MemoryPlans {
 public:
  explicit SimplePlans(std::vector<int> slots) : slots_(std::move(slots)) {}
  // As a disk that pauses.
  SimplePlans(io::Clock& clock, io::Duration takes) : clock_(&clock), takes_(takes) {}
  io::Task<Result<std::vector<Plan>>> plans(const Target& wanted, int context) override {
    if (clock_ != nullptr) (void)co_await clock_->sleep_for(takes_);
    std::vector<Plan> result;
    for (int slots : slots_) {
      Plan plan;
      plan.slots = slots;
      plan.context = context;
      plan.batch = wanted.runner.num_batch.value_or(plan.batch);
      plan.bytes = 100 + static_cast<uint64_t>(slots * context) / 100;
      result.push_back(plan);
    }
    co_return result;
  }

 private:
  std::vector<int> slots_{1};
  io::Clock* clock_ = nullptr;
  io::Duration takes_{};
};

inline engine::EngineFactory scripted_engines(io::Clock& clock, Script& script) {
  return [&clock, &script](engine::LaunchOptions options) {
    return std::make_unique<ScriptedEngine>(clock, script, std::move(options));
  };
}

inline Target target(const std::string& name, std::optional<int> num_ctx = std::nullopt) {
  Target result;
  result.name = name;
  result.weights = Digest::of(name);
  result.weights_path = "/models/" + name;
  result.trained_context = 32768;
  result.runner.num_ctx = num_ctx;
  return result;
}

}  // namespace om::scheduler::testing
