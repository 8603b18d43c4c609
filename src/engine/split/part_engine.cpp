#include "engine/split/part_engine.h"

#include "base/log.h"
#include "engine/metrics.h"

namespace om::engine {
namespace {

constexpr int kPortsTriedMax = 5;  // Another process may take a free port before the child does.
constexpr std::chrono::milliseconds kPoll{20};
constexpr std::chrono::seconds kStartMax{20};
constexpr std::string_view kLoopback = "127.0.0.1";

Error not_a_model() { return {Errc::unsupported, "a part of a model answers no requests"}; }

}  // namespace

PartEngine::PartEngine(io::World& world, LaunchOptions options)
    : world_(world), options_(std::move(options)), tasks_(world.executor, world.clock) {
  properties_.slots = 1;
  properties_.context_length = 1;
}

PartEngine::~PartEngine() = default;

std::optional<io::Endpoint> PartEngine::part_endpoint() const {
  if (!alive() || !loaded_ || stopping_) return std::nullopt;
  return io::Endpoint::tcp(std::string(kLoopback), port_);
}

Result<uint16_t> PartEngine::free_port() {
  TRY(auto listener, world_.network.listen(io::Endpoint::tcp(std::string(kLoopback), 0), nullptr));
  const uint16_t port = listener->local().port;
  listener->close();
  return port;
}

io::Task<Result<void>> PartEngine::load(io::Call call) {
  call = world_.clock.call_within(kStartMax, call);
  Result<void> started;
  for (int i = 0; i < kPortsTriedMax; i++) {
    CO_TRY(port_, free_port());
    io::SpawnOptions spawn;
    spawn.argv = {options_.part_program,
                  "-H",
                  std::string(kLoopback),
                  "-p",
                  std::to_string(port_),
                  "-d",
                  "CPU"};
    if (options_.threads > 0) {
      spawn.argv.insert(spawn.argv.end(), {"-t", std::to_string(options_.threads)});
    }
    spawn.environment = {{"GGML_NO_BACKTRACE", "1"}};
    if (options_.deterministic) spawn.environment.emplace_back("GGML_CPU_TILED_MM", "0");
    // A main node that dies must not take it along before its lease ends.
    spawn.ignore_sigpipe = true;
    spawn.ends_first = true;
    CO_TRY(child_, world_.processes.spawn(std::move(spawn)));
    started = co_await wait_ready(call);
    if (started) break;
    child_.reset();
    if (started.error().code != Errc::unavailable) break;
  }
  if (!started) co_return started;
  loaded_ = true;
  tasks_.spawn(read_output());
  tasks_.spawn(watch_exit());
  co_return started;
}

// Ready is who accepts.
io::Task<Result<void>> PartEngine::wait_ready(io::Call call) {
  while (true) {
    auto connected = co_await world_.network.connect(
        io::Endpoint::tcp(std::string(kLoopback), port_), nullptr, call);
    if (connected) co_return Result<void>{};
    if (!alive()) {
      co_return fail(Errc::unavailable, "ggml-rpc-server ended when it was started for {}",
                     options_.name);
    }
    CO_TRY_VOID(co_await world_.clock.sleep_for(kPoll, call));
  }
}

io::Task<void> PartEngine::read_output() {
  while (true) {
    auto line = co_await child_->read_line({io::kNever, tasks_.token()});
    if (!line || !*line) co_return;
    last_line_ = std::move(**line);
  }
}

io::Task<void> PartEngine::watch_exit() {
  const auto status = co_await child_->wait({io::kNever, tasks_.token()});
  if (stopping_) co_return;
  runner_deaths.add();
  log_error("part of a model ended", field("model", options_.name),
            field("reason", status ? status->str() : status.error().what),
            field("last_line", last_line_));
  if (on_death_) std::exchange(on_death_, nullptr)();
}

io::Task<void> PartEngine::stop() {
  stopping_ = true;
  // It keeps nothing that a gentle end would save.
  if (child_) child_->signal(SIGKILL);
  if (child_) {
    const auto ended = co_await child_->wait({});
    (void)ended;  // Nothing is left to try.
  }
  co_await tasks_.stop();
}

io::Task<Result<std::unique_ptr<Completion>>> PartEngine::complete(CompletionRequest, io::Call) {
  co_return fail(not_a_model());
}
io::Task<Result<EmbeddingResult>> PartEngine::embed(std::vector<Token>, bool, io::Call) {
  co_return fail(not_a_model());
}
io::Task<Result<std::vector<Token>>> PartEngine::tokenize(std::string, bool, io::Call) {
  co_return fail(not_a_model());
}
io::Task<Result<std::string>> PartEngine::detokenize(std::vector<Token>, io::Call) {
  co_return fail(not_a_model());
}

}  // namespace om::engine
