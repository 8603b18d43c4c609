#include "engine/local/runner_process.h"

#include <algorithm>
#include <array>
#include <csignal>

#include "base/log.h"
#include "engine/metrics.h"

namespace om::engine {
namespace {

constexpr size_t kLinesMax = 40, kLineBytesMax = 512;
constexpr size_t kAnswerBytesMax = 64 * 1024;
// Whether it is ready is asked so often that a load takes a sixteenth longer at most.
constexpr auto kPollMin = std::chrono::milliseconds(10), kPollMax = std::chrono::milliseconds(100);
constexpr int kPollShare = 16;
constexpr auto kHealthMax = std::chrono::seconds(10);
constexpr auto kSettleMax = std::chrono::milliseconds(500);
constexpr std::string_view kStopped =
    "model runner has unexpectedly stopped, this may be due to resource limitations or an "
    "internal error, check the server logs for details";

bool tells_trouble(std::string_view line) {
  static constexpr std::array<std::string_view, 7> kWords = {
      "error", "Error", "ERROR", "failed", "abort", "ASSERT", "terminate"};
  if (line.starts_with("E ")) return true;  // llama-server's own mark.
  return std::ranges::any_of(kWords, [&](auto word) { return line.contains(word); });
}

double in_seconds(io::Duration duration) { return std::chrono::duration<double>(duration).count(); }

// llama-server writes "E srv  text".
std::string without_level(std::string_view line) {
  if (line.size() > 2 && line[1] == ' ' && std::string_view("EWID").contains(line[0])) {
    line.remove_prefix(2);
  }
  return std::string(line);
}

}  // namespace

RunnerProcess::RunnerProcess(io::World& world, LaunchOptions options)
    : world_(world),
      options_(std::move(options)),
      client_(std::make_unique<http::Client>(world)),
      silence_(options_, std::make_shared<RunnerPace>(options_)),
      changed_(world.clock),
      tasks_(world.executor, world.clock) {
  secrets_.socket_path = io::join(options_.runtime_directory, world.random.letters(12) + ".sock");
  secrets_.api_key = world.random.letters(32);
  secrets_.media_marker = "<__media_" + world.random.letters(12) + "__>";
}

RunnerProcess::~RunnerProcess() = default;

io::Task<Result<void>> RunnerProcess::start(io::Call call) {
  auto started = co_await spawn_child();
  if (started) {
    tasks_.spawn(read_output());
    tasks_.spawn(watch_exit());
    started = co_await wait_ready(call);
  }
  if (!started) {
    co_await stop();
    co_return started;
  }
  ready_ = true;
  tasks_.spawn(watch_stalls());
  co_return started;
}

io::Task<Result<void>> RunnerProcess::spawn_child() {
  CO_TRY_VOID(world_.files.make_directories(options_.runtime_directory));
  // The directory is the only guard of the sockets in it besides the key.
  CO_TRY_VOID(world_.files.set_mode(options_.runtime_directory, 0700));
  remove_socket();  // A stale one makes the child fail.
  CO_TRY(auto command, launch_command(options_, secrets_));
  log_debug("runner starts", field("model", options_.name),
            field("command", fmt::format("{}", fmt::join(command.argv, " "))));
  CO_TRY(child_, world_.processes.spawn(std::move(command)));
  last_line_ = world_.clock.now();
  co_return Result<void>{};
}

bool RunnerProcess::was_killed() const {
  return exit_signal_ == SIGKILL || exit_signal_ == SIGTERM;
}

io::Task<Result<void>> RunnerProcess::wait_ready(io::Call call) {
  const io::TimePoint begun = world_.clock.now();
  uint64_t resident_before = 0, read_before = 0;
  while (true) {
    CO_TRY(const bool ready, co_await is_ready(call));
    if (ready) co_return Result<void>{};
    if (exited_ || broken_.cancelled()) {
      co_await settle();
      // A crash of its own (SIGSEGV, SIGABRT) would only come again.
      killed_while_loading_ = !stopping_ && was_killed();
      co_return fail(Errc::unavailable, "llama-server process has terminated: {}", death_);
    }
    const uint64_t resident = memory().resident;
    // Where main memory is full, or another one is filled, it grows no more.
    const uint64_t read = read_bytes(world_.files, pid());
    const io::TimePoint now = world_.clock.now();
    if (resident > resident_before + (1 << 20) || read > read_before + (1 << 20)) {
      resident_before = std::max(resident_before, resident);
      read_before = std::max(read_before, read);
      last_line_ = now;
    }
    if (options_.load_stall_max.count() > 0 && now - last_line_ > options_.load_stall_max) {
      co_return fail(
          Errc::unavailable, "timed out loading {}: no progress for {} s{}", options_.name,
          std::chrono::duration_cast<std::chrono::seconds>(options_.load_stall_max).count(),
          last_words());
    }
    const auto pause = std::clamp<io::Duration>((now - begun) / kPollShare, kPollMin, kPollMax);
    CO_TRY_VOID(co_await world_.clock.sleep_for(pause, call));
  }
}

io::Task<Result<bool>> RunnerProcess::is_ready(io::Call call) {
  const io::Call health = world_.clock.call_within(kHealthMax, call);
  auto response = co_await client_->send(request("GET", "/health", {}), health);
  // Not listening yet, or too busy to answer: the stall limit bounds the patience.
  if (!response) {
    if (call.cancel.cancelled()) co_return fail(Errc::cancelled, "the load is no longer wanted");
    if (call.deadline <= world_.clock.now()) co_return fail(std::move(response).error());
    co_return false;
  }
  const int status = (*response)->status();
  auto body = co_await (*response)->read_all(kAnswerBytesMax);
  co_return body.has_value() && status == 200;
}

io::Task<void> RunnerProcess::read_output() {
  while (true) {
    auto line = co_await child_->read_line(io::Call{io::kNever, tasks_.token()});
    if (!line || !*line) co_return;
    last_line_ = world_.clock.now();
    keep_line(std::move(**line));
  }
}

void RunnerProcess::keep_line(std::string line) {
  while (!line.empty() && (line.back() == ' ' || line.back() == '\r')) line.pop_back();
  if (line.empty()) return;
  if (line.size() > kLineBytesMax) line.resize(kLineBytesMax);
  if (!ready_ && first_trouble_.empty() && tells_trouble(line)) first_trouble_ = line;
  if (!ready_) graphics_.read(line);
  log_debug("runner says", field("model", options_.name), field("line", line));
  lines_.push_back(std::move(line));
  if (lines_.size() > kLinesMax) lines_.pop_front();
}

io::Task<void> RunnerProcess::watch_exit() {
  auto status = co_await child_->wait(io::Call{io::kNever, tasks_.token()});
  exited_ = true;
  if (status) exit_signal_ = status->signal;
  // Its last lines may still be in the pipe.
  auto pause = co_await world_.clock.sleep_for(std::chrono::milliseconds(20),
                                               io::Call{io::kNever, tasks_.token()});
  (void)pause;  // Cancelled by stop(): the lines do not matter then.
  break_all((status ? status->str() : status.error().what) + last_words());
  changed_.notify_all();
}

io::Task<void> RunnerProcess::settle() {
  const io::Call call = world_.clock.call_within(kSettleMax);
  while (!broken_.cancelled()) {
    auto waited = co_await changed_.wait(call);
    if (!waited) co_return;  // It lives on: the connection broke for another reason.
  }
}

void RunnerProcess::break_all(std::string reason) {
  if (broken_.cancelled()) return;
  death_ = std::move(reason);
  broken_.cancel();
  changed_.notify_all();
  if (!ready_ || stopping_) return;
  runner_deaths.add();
  log_error("runner ended", field("model", options_.name), field("reason", death_));
  if (on_death_) {
    auto callback = std::move(on_death_);
    callback();
  }
}

void RunnerProcess::condemn(std::string reason) {
  break_all(std::move(reason));
  if (child_) child_->signal(SIGKILL);
}

Error RunnerProcess::death() const {
  return {Errc::unavailable, fmt::format("{}: {}", kStopped, death_)};
}

std::string RunnerProcess::last_words() const {
  // A failed load names its reason first and its consequences later.
  if (!ready_ && !first_trouble_.empty()) return ": " + without_level(first_trouble_);
  auto worst = std::find_if(lines_.rbegin(), lines_.rend(), tells_trouble);
  if (worst != lines_.rend()) return ": " + without_level(*worst);
  return lines_.empty() ? std::string() : ": " + without_level(lines_.back());
}

double RunnerProcess::load_progress() const {
  if (ready_) return 1;
  if (options_.weight_bytes == 0) return 0;
  const double part =
      static_cast<double>(memory().resident) / static_cast<double>(options_.weight_bytes);
  return std::min(part, 0.99);
}

io::Task<void> RunnerProcess::watch_stalls() {
  const io::Call call{io::kNever, tasks_.token()};
  const io::Duration pause = std::clamp<io::Duration>(
      options_.stall_floor / 20, std::chrono::milliseconds(10), std::chrono::milliseconds(500));
  while (true) {
    const io::TimePoint looked = world_.clock.now();
    auto slept = co_await world_.clock.sleep_for(pause, call);
    if (!slept || broken_.cancelled()) co_return;
    const io::Duration passed = world_.clock.now() - looked;
    ChildLook look;
    if (silence_.is_awaited(looked)) {
      look = hindrance_.look(world_.files, pid(), passed);
    } else {
      hindrance_.forget();
    }
    // A node that was frozen or suspended in between blames nobody for that.
    silence_.pass(looked, std::min<io::Duration>(passed, 2 * pause), look);
    const auto stall = silence_.stalled();
    if (!stall) continue;
    silence_.note_wedge(*stall);
    wedged_ = true;
    runner_wedged.add();
    wedged_silence.observe(in_seconds(stall->silence));
    break_all(fmt::format("it answered but brought no token for {:.1f} s (limit {:.1f} s){}{}",
                          in_seconds(stall->silence), in_seconds(stall->limit),
                          stall->idle ? ", and did nothing else" : "", last_words()));
    co_await end_child(true);  // What hangs heeds no good-bye, and holds its memory meanwhile.
    co_return;
  }
}

io::Task<void> RunnerProcess::end_child(bool force) {
  if (!child_) co_return;
  client_->close_idle();
  if (!force) {
    child_->signal(SIGTERM);
    auto ended = co_await child_->wait(world_.clock.call_within(options_.stop_grace));
    if (ended) co_return;
  }
  child_->signal(SIGKILL);
  auto ended = co_await child_->wait({});
  (void)ended;  // Nothing is left to try.
}

io::Task<void> RunnerProcess::stop() {
  const bool was_ready = ready_;
  if (!stopping_ && !broken_.cancelled()) {
    stopping_ = true;
    break_all("it was stopped");
  }
  stopping_ = true;
  // A child that still loads has nobody to say good-bye to.
  co_await end_child(!was_ready);
  co_await tasks_.stop();
  remove_socket();
}

void RunnerProcess::remove_socket() {
  auto removed = world_.files.remove(secrets_.socket_path);
  (void)removed;  // Usually it is not there.
}

http::ClientRequest RunnerProcess::request(std::string method, std::string target,
                                           std::string body) const {
  http::ClientRequest request;
  request.method = std::move(method);
  request.endpoint = io::Endpoint::unix_socket(secrets_.socket_path);
  request.host = "localhost";
  request.target = std::move(target);
  request.headers.add("Authorization", "Bearer " + secrets_.api_key);
  if (!body.empty()) request.headers.add("Content-Type", "application/json");
  request.body = std::move(body);
  request.repeatable = true;  // It computes, and keeps nothing but caches.
  return request;
}

RunnerProcess::Watch::Watch(std::shared_ptr<RunnerProcess> runner, PromptWork work)
    : runner_(std::move(runner)),
      request_(runner_->silence_.add(work, runner_->world_.clock.now())) {}

RunnerProcess::Watch::~Watch() { runner_->silence_.remove(request_); }

void RunnerProcess::Watch::begin_wait() {
  runner_->silence_.begin_wait(request_, runner_->world_.clock.now());
}

void RunnerProcess::Watch::end_wait() { runner_->silence_.end_wait(request_); }

void RunnerProcess::Watch::heard() {
  runner_->silence_.heard(request_, runner_->world_.clock.now());
}

void RunnerProcess::Watch::note_progress(const SilenceWatch::Progress& progress) {
  runner_->silence_.note_progress(request_, progress);
}

void RunnerProcess::Watch::note_evaluated(io::Duration took) {
  runner_->silence_.note_evaluated(request_, took);
}

void RunnerProcess::Watch::note_token() { runner_->silence_.note_token(request_); }

}  // namespace om::engine
