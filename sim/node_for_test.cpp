#include "sim/node_for_test.h"

#include "generation/generation.h"
#include "scheduler/gguf_plans.h"
#include "sim/fake_llama.h"
#include "sim/models_for_test.h"

namespace om::sim {
namespace {

constexpr std::string_view kProgram = "/opt/llama/llama-server";
}  // namespace

struct LlamaMain {
  SimNode* node;
  io::Task<void> operator()(std::shared_ptr<Program> program) const {
    return node->run_llama(std::move(program));
  }
};

SimNode::SimNode(World& world, const Scenario& scenario) : sim_(world), scenario_(scenario) {
  sim_.processes().install(std::string(kProgram), LlamaMain{this});
}

SimNode::~SimNode() = default;

io::Task<void> SimNode::run_llama(std::shared_ptr<Program> program) {
  programs_.push_back(program);
  FakeLlamaBehaviour behaviour = draw_behaviour(scenario_, sim_.random(), faults_);
  behaviour.slots = std::stoi(program->argument("-np"));
  behaviour.context_length = std::stoi(program->argument("-c")) / behaviour.slots;
  program->ignore_terminate = faults_ && sim_.random().chance(scenario_.deaf_chance);
  program->print("I build: simulated");
  if (behaviour.fails_to_load) program->print("E srv  error loading model: as drawn");
  FakeLlama llama(sim_.world(), behaviour, [&program] { program->die(SIGSEGV); });
  const auto served = co_await llama.serve(io::Endpoint::unix_socket(program->argument("--host")),
                                           program->killed());
  if (!served) program->exit(1);
}

bool SimNode::kill_runner(uint64_t draw) {
  std::erase_if(programs_, [](const auto& weak) {
    const auto program = weak.lock();
    return !program || program->has_ended();
  });
  if (programs_.empty()) return false;
  programs_[draw % programs_.size()].lock()->die(SIGKILL);
  return true;
}

void SimNode::heal() {
  faults_ = false;
  sim_.network().faults.reset_chance = 0;
  while (kill_runner(0)) {
  }
}

io::Task<Result<void>> SimNode::put_models() {
  for (int number = 0; number < scenario_.models; number++) {
    CO_TRY_VOID(co_await put_model(*store_, number));
  }
  co_return Result<void>{};
}

void SimNode::make_scheduler() {
  scheduler::LocalSchedulerOptions options;
  options.launch.program = kProgram;
  options.launch.runtime_directory = "/tmp/run";
  options.launch.threads = 2;
  options.memory_total = scenario_.memory_total;
  options.default_context = scenario_.default_context;
  options.num_parallel = scenario_.num_parallel;
  options.loaded_max = scenario_.loaded_max;
  options.queue_max = scenario_.queue_max;
  options.keep_alive = scenario_.keep_alive;
  scheduler::GgufPlanOptions plans;
  plans.launch = options.launch;
  plans.num_parallel = scenario_.num_parallel;
  plans.memory_total = options.memory_total;
  auto& world = sim_.world();
  scheduler_ = std::make_unique<scheduler::LocalScheduler>(
      world, std::move(options), engine::local_engines(world),
      std::make_unique<scheduler::GgufPlans>(world, std::move(plans)));
}

io::Task<Result<void>> SimNode::start() {
  auto& world = sim_.world();
  client_ = std::make_unique<http::Client>(world);
  CO_TRY(store_, co_await store::Store::open(world, "/models", true));
  CO_TRY_VOID(co_await put_models());
  make_scheduler();
  generation::GenerationOptions generation_options;
  generation_options.node_name = "sim";
  generation_ = generation::make_generation(world, *store_, *scheduler_, generation_options);
  transfer::TransferOptions transfer_options;
  transfer_options.key_path = "/models/id_ed25519";
  transfer_options.temporary_directory = "/models/tmp";
  transfer_ = transfer::make_transfer(world, *store_, *client_, transfer_options);
  api::Settings settings;
  settings.node_name = "sim";
  api_ = std::make_unique<api::Api>(
      api::Dependencies{world, *store_, *scheduler_, *generation_, *transfer_, settings});
  server_ = std::make_unique<http::Server>(world, http::ServerLimits{}, api_->handler());
  CO_TRY(const auto bound, server_->listen(io::Endpoint::tcp(std::string(kHost), kPort)));
  (void)bound;
  co_return Result<void>{};
}

// In the order of app's Node.
io::Task<void> SimNode::stop() {
  co_await server_->stop(std::chrono::seconds(30));
  co_await transfer_->stop();
  co_await scheduler_->stop();
  client_->close_idle();
}

io::Task<std::string> SimNode::inspect_store() {
  const auto listed = co_await store_->list();
  if (!listed) co_return "list: " + listed.error().what;
  int found = 0;
  for (const auto& stored : *listed) {
    if (stored.name.shortest().starts_with("m")) found++;
    for (const model::Layer& layer : stored.manifest.layers) {
      const auto whole = co_await store_->verify(layer.digest);
      if (!whole) co_return stored.name.shortest() + ": " + whole.error().what;
    }
  }
  if (found != scenario_.models) co_return fmt::format("{} models are listed", found);
  co_return std::string();
}

}  // namespace om::sim
