#include "sim/cluster/node.h"

#include <algorithm>
#include <csignal>

#include "base/check.h"
#include "io/name_service.h"
#include "sim/fake_llama.h"
#include "sim/fake_part.h"
#include "sim/models_for_test.h"
#include "store/layout.h"

namespace om::sim {
namespace {

constexpr std::string_view kLlama = "/opt/llama";
constexpr std::string_view kProgram = "/opt/llama/llama-server";
constexpr std::string_view kPartProgram = "/opt/llama/ggml-rpc-server";
constexpr double kHangChance = 0.5;  // Of a llama-server that lost a part; else it aborts.

// A network whose machines have numbers only.
class NoNames final : public io::NameService {
 public:
  io::Task<Result<std::vector<io::Endpoint>>> lookup(io::Endpoint name, io::Call) override {
    co_return fail(Errc::not_found, "{} is no name here", name.host);
  }
};

// A llama-server that lost a part aborts, or hangs until it is killed.
io::Task<bool> survive(io::Task<Result<void>> step, io::Clock& clock, Program& program,
                       bool hangs) {
  const auto done = co_await std::move(step);
  if (!done && hangs) {
    const auto killed = co_await clock.sleep_until(io::kNever, {io::kNever, program.killed()});
  }
  if (!done && !program.has_ended()) program.die(SIGABRT);
  co_return done.has_value();
}

}  // namespace

ClusterNode::ClusterNode(World& world, SimVoters& voters, const Scenario& scenario, int number)
    : sim_(world),
      voters_(voters),
      scenario_(scenario),
      name_(fmt::format("n{}", number)),
      address_(fmt::format("10.0.0.{}", number + 1)),
      settings_(app::Config().settings()),
      disk_(std::make_unique<SimFilesystem>(world.clock())) {
  settings_.node_name = name_;
  settings_.state_directory = "/state";
  settings_.models_directory = kModels;
  settings_.llama_directory = kLlama;
  settings_.listen = {fmt::format("{}:{}", address_, kApiPort)};
  settings_.cluster_listen = peer();
  settings_.queue_max = static_cast<int64_t>(scenario.queue_max);
  settings_.loaded_max = scenario.loaded_max;
  settings_.parallel = scenario.num_parallel;
  settings_.keep_alive = scenario.keep_alive;
  settings_.context_length = scenario.default_context;
  settings_.threads = 2;
  settings_.standby_runners = scenario.standby ? 1 : 0;
  if (scenario.aggregates) settings_.direct_reports_max = 1;
  prepare_disk();
}

ClusterNode::~ClusterNode() = default;

void ClusterNode::prepare_disk() {
  const auto put = [this](const io::Path& path, const std::string& text) {
    const auto made = disk_->make_directories(io::parent(path));
    const auto written = disk_->write_file(path, text);
    CHECK(made && written, "the disk cannot be prepared");
  };
  const uint64_t kilobytes = scenario_.memory_total >> 10;
  put("/proc/meminfo",
      fmt::format("MemTotal: {0} kB\nMemFree: {0} kB\nMemAvailable: {0} kB\n", kilobytes));
  put(std::string(kProgram), "");
  put(std::string(kPartProgram), "");
  put(SimHost::kSocketTable, SimHost::socket_table());
  CHECK(disk_->make_directories("/state"), "the disk cannot be prepared");
}

io::Task<Result<void>> ClusterNode::put_models(std::vector<int> numbers) {
  const io::World& ground = sim_.world();
  io::World world{ground.executor, ground.clock,     ground.random, ground.network,
                  *disk_,          ground.processes, ground.workers};
  CO_TRY(const auto store, co_await store::Store::open(world, settings_.models_directory, true));
  for (const int number : numbers) {
    const auto size =
        number == scenario_.split_model ? ModelSize::larger_than_a_node : ModelSize::small;
    CO_TRY_VOID(co_await put_model(*store, number, size));
  }
  co_return Result<void>{};
}

void ClusterNode::start() {
  wanted_ = true;
  auto life = std::make_unique<Life>();
  life->machine = std::make_unique<Machine>(sim_, SimHost::Place{name_, address_}, *disk_);
  life->machine->clock().skew = skew;
  life->machine->clock().late_max = late_max_;
  life->machine->workers().job_max = scenario_.job_max;
  auto& processes = life->machine->processes();
  Life& its = *life;
  processes.install(std::string(kProgram), [this, &its](std::shared_ptr<Program> program) {
    return run_llama(its, std::move(program));
  });
  processes.install(std::string(kPartProgram), [this, &its](std::shared_ptr<Program> program) {
    return run_part(its, std::move(program));
  });
  lives_.push_back(std::move(life));
  Life& born = *lives_.back();
  io::spawn_detached(born.machine->world().executor, live(born));
}

io::Task<void> ClusterNode::live(Life& life) {
  bool again = true;
  while (again && !life.stopping) {
    NoNames names;
    app::Node node(life.machine->world(), names, settings_, voters_);
    life.node = &node;
    life.result = co_await node.run([&life] { life.ready = true; });
    life.ready = false;
    life.node = nullptr;
    again = life.result && node.wants_restart();
  }
  life.ended = true;
}

void ClusterNode::stop() {
  wanted_ = false;
  Life* life = current();
  if (!life || life->ended || life->machine->dead()) return;
  life->stopping = true;
  if (life->node) life->node->stop();
}

void ClusterNode::kill(Word word, DiskFate fate) {
  wanted_ = false;
  Life* life = current();
  if (!life || life->machine->dead()) return;
  voters_.machine_died(name_);
  auto next = fate == DiskFate::lost
                  ? std::make_unique<SimFilesystem>(sim_.clock())
                  : disk_->survivor(fate == DiskFate::synced ? &sim_.random() : nullptr);
  life->machine->die(word);
  life->stopping = true;
  if (life->node) life->node->stop();
  life->disk = std::exchange(disk_, std::move(next));
  if (fate == DiskFate::lost) prepare_disk();
}

void ClusterNode::freeze() {
  Life* life = current();
  if (!life || life->machine->dead() || life->ended) return;
  life->machine->freeze();
  voters_.set_frozen(name_, true);
}

void ClusterNode::thaw() {
  Life* life = current();
  if (!life || !life->machine->frozen()) return;
  life->machine->thaw();
  voters_.set_frozen(name_, false);
}

void ClusterNode::jump_clock(io::Duration by) {
  skew += by;
  if (Life* life = current()) life->machine->clock().skew = skew;
}

void ClusterNode::set_late_max(io::Duration most) {
  late_max_ = most;
  if (Life* life = current()) life->machine->clock().late_max = most;
}

void ClusterNode::look_after() {
  const Life* life = current();
  if (wanted_ && life && life->ended) start();
}

app::Node* ClusterNode::node() {
  const Life* life = current();
  return life && life->ready && !life->machine->dead() ? life->node : nullptr;
}

bool ClusterNode::has_all_ended() const {
  return std::ranges::all_of(lives_, [](const auto& life) { return life->ended; });
}

bool ClusterNode::is_idle() {
  return std::ranges::all_of(lives_, [](const auto& life) { return life->machine->is_idle(); });
}

bool ClusterNode::rot_blob(SimRandom& random) {
  const store::Layout layout{settings_.models_directory};
  std::vector<io::Path> blobs;
  for (const std::string& name : disk_->list(layout.blobs()).value()) {
    const io::Path path = io::join(layout.blobs(), name);
    const auto file = disk_->info(path);
    if (file && file->size > 0) blobs.push_back(path);
  }
  if (blobs.empty()) return false;
  disk_->rot(blobs[random.below(blobs.size())], random.next());
  return true;
}

std::string ClusterNode::last_error() const {
  if (lives_.empty() || lives_.back()->result) return {};
  return lives_.back()->result.error().what;
}

bool ClusterNode::kill_runner(uint64_t draw) {
  Life* life = current();
  if (!life) return false;
  auto& programs = life->programs;
  std::erase_if(programs, [](const auto& weak) {
    const auto program = weak.lock();
    return !program || program->has_ended();
  });
  if (programs.empty()) return false;
  programs[draw % programs.size()].lock()->die(SIGKILL);
  return true;
}

io::Task<void> ClusterNode::run_llama(Life& life, std::shared_ptr<Program> program) {
  life.programs.push_back(program);
  FakeLlamaBehaviour behaviour = draw_behaviour(scenario_, sim_.random(), runners_fail);
  behaviour.slots = std::stoi(program->argument("-np"));
  behaviour.context_length = std::stoi(program->argument("-c")) / behaviour.slots;
  behaviour.token_time = io::Duration(
      static_cast<int64_t>(static_cast<double>(behaviour.token_time.count()) * token_factor));
  program->ignore_terminate = runners_fail && sim_.random().chance(scenario_.deaf_chance);
  program->print("I build: simulated");
  if (behaviour.fails_to_load) program->print("E srv  error loading model: as drawn");
  io::World& world = life.machine->world();
  std::optional<FakeParts> parts;
  if (const std::string servers = program->argument("--rpc"); !servers.empty()) {
    parts.emplace(world, servers);
    const bool hangs = sim_.random().chance(kHangChance);
    behaviour.before_loaded = [&, hangs] {
      return survive(parts->load(program->killed()), world.clock, *program, hangs);
    };
    behaviour.before_token = [&, hangs] {
      return survive(parts->pass(program->killed()), world.clock, *program, hangs);
    };
  }
  FakeLlama llama(world, behaviour, [&program] { program->die(SIGSEGV); });
  const auto served = co_await llama.serve(io::Endpoint::unix_socket(program->argument("--host")),
                                           program->killed());
  if (!served) program->exit(1);
}

io::Task<void> ClusterNode::run_part(Life& life, std::shared_ptr<Program> program) {
  life.programs.push_back(program);
  const auto port = static_cast<uint16_t>(std::stoi(program->argument("-p")));
  const auto served = co_await serve_part(life.machine->world(), port, program->killed());
  if (!served) program->exit(1);
}

}  // namespace om::sim
