#include "io/real/processes.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdio>

#include "base/check.h"
#include "io/event.h"
#include "io/real/operation_limit.h"
#include "io/task_group.h"

namespace om::io {

namespace asio = boost::asio;
using Descriptor = asio::posix::stream_descriptor;

namespace {

struct Pipe {
  int read = -1, write = -1;
};

Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail(Errc::io_failed, "pipe: {}", strerror(errno));
  return Pipe{ends[0], ends[1]};
}

// argv and environment as exec wants them, made before fork: afterwards nothing may allocate.
struct ExecArguments {
  explicit ExecArguments(const SpawnOptions& options) {
    strings = options.argv;
    const size_t argument_count = strings.size();
    for (char** entry = environ; *entry != nullptr; entry++) {
      const std::string_view text = *entry;
      const std::string_view name = text.substr(0, text.find('='));
      const auto& kept = options.environment_kept;
      bool keep = !kept || std::ranges::find(*kept, name) != kept->end();
      for (const auto& removed : options.environment_removed) keep = keep && removed != name;
      for (const auto& [added, value] : options.environment) keep = keep && added != name;
      if (keep) strings.emplace_back(text);
    }
    for (const auto& [name, value] : options.environment) strings.push_back(name + "=" + value);
    for (size_t i = 0; i < strings.size(); i++) {
      (i < argument_count ? argv : environment).push_back(strings[i].data());
    }
    argv.push_back(nullptr);
    environment.push_back(nullptr);
  }
  std::vector<std::string> strings;
  std::vector<char*> argv, environment;
};

// Above what programs have by themselves (0) and what a service may have set for us, which children
// inherit. A kernel that refuses it only chooses otherwise.
void ask_to_end_first() {
  constexpr std::string_view kScore = "500";
  const int file = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  const ssize_t ignored = ::write(file, kScore.data(), kScore.size());
  (void)ignored;
}

// In the child, between fork and exec: only async-signal-safe calls.
[[noreturn]] void become(const ExecArguments& arguments, const SpawnOptions& options, int output,
                         int failure, pid_t parent_pid) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent_pid) ::_exit(127);  // The parent died before prctl.
  for (int number = 1; number < NSIG; number++) ::signal(number, SIG_DFL);
  if (options.ignore_sigpipe) ::signal(SIGPIPE, SIG_IGN);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (options.ends_first) ask_to_end_first();
  const int empty = ::open("/dev/null", O_RDONLY);
  ::dup2(empty, 0);
  ::dup2(output, 1);
  ::dup2(output, 2);
  ::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
  if (options.directory.empty() || ::chdir(options.directory.c_str()) == 0) {
    ::execve(arguments.argv[0], arguments.argv.data(), arguments.environment.data());
  }
  const int error = errno;
  if (::write(failure, &error, sizeof(error)) < 0) ::_exit(126);
  ::_exit(127);
}

// Outlives the Child while its watcher still runs.
struct ChildState {
  ChildState(asio::io_context& context, Clock& clock) : exited(clock), pidfd(context) {}
  pid_t pid = -1;
  std::optional<ExitStatus> status;
  Event exited;
  Descriptor pidfd;

  bool reap(int flags) {
    if (status) return true;
    int raw = 0;
    const pid_t result = ::waitpid(pid, &raw, flags);
    if (result != pid) return false;
    ExitStatus ended;
    if (WIFSIGNALED(raw)) ended.signal = WTERMSIG(raw);
    if (WIFEXITED(raw)) ended.code = WEXITSTATUS(raw);
    status = ended;
    exited.notify_all();
    return true;
  }
};

Task<void> watch(std::shared_ptr<ChildState> state) {
  while (!state->reap(WNOHANG)) {
    const auto [error] = co_await state->pidfd.async_wait(asio::posix::descriptor_base::wait_read,
                                                          asio::as_tuple(asio::use_awaitable));
    if (error) break;  // The loop ends, and with it this process.
  }
}

class RealChild final : public Child {
 public:
  RealChild(Clock& clock, std::shared_ptr<ChildState> state, Descriptor output)
      : clock_(clock), state_(std::move(state)), output_(std::move(output)) {}
  // Its watcher reaps it: one that hangs in a driver may take long to die.
  ~RealChild() override { signal(SIGKILL); }

  int pid() const override { return state_->pid; }
  bool running() const override { return !state_->status.has_value(); }
  void signal(int number) override {
    if (running()) ::kill(-state_->pid, number);
  }
  Task<Result<std::optional<std::string>>> read_line(Call call) override;
  Task<Result<ExitStatus>> wait(Call call) override {
    auto state = state_;
    while (!state->status) {
      CO_TRY_VOID(co_await state->exited.wait(call));
    }
    co_return *state->status;
  }
  ProcessMemory memory() const override;

 private:
  static constexpr size_t kLineMax = 64 * 1024;
  Clock& clock_;
  std::shared_ptr<ChildState> state_;
  Descriptor output_;
  std::string buffer_;
  bool ended_ = false;
};

Task<Result<std::optional<std::string>>> RealChild::read_line(Call call) {
  while (true) {
    const size_t end = buffer_.find('\n');
    if (end != std::string::npos || buffer_.size() >= kLineMax || (ended_ && !buffer_.empty())) {
      const size_t length = std::min({end, buffer_.size(), kLineMax});
      std::optional<std::string> line(buffer_.substr(0, length));
      buffer_.erase(0, length == end ? length + 1 : length);
      co_return line;
    }
    if (ended_) co_return std::optional<std::string>{};
    if (call.cancel.cancelled()) co_return fail(Errc::cancelled, "cancelled");
    std::array<char, 4096> piece;
    OperationLimit limit(clock_, call, [this] { output_.cancel(); });
    const auto [error, count] =
        co_await output_.async_read_some(asio::buffer(piece), asio::as_tuple(asio::use_awaitable));
    if (error == asio::error::operation_aborted) {
      co_return fail(limit.explain(Errc::cancelled, "a child's output"));
    }
    buffer_.append(piece.data(), count);
    ended_ = static_cast<bool>(error);  // End of file, or as good as.
  }
}

ProcessMemory RealChild::memory() const {
  const std::string path = fmt::format("/proc/{}/statm", state_->pid);
  FILE* file = std::fopen(path.c_str(), "r");
  if (file == nullptr) return {};
  unsigned long total = 0, resident = 0, shared = 0;
  const int fields = std::fscanf(file, "%lu %lu %lu", &total, &resident, &shared);
  std::fclose(file);
  if (fields != 3) return {};
  const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  return {resident * page, (resident - std::min(resident, shared)) * page};
}

// The errno that kept the program from starting, 0 if it runs.
int exec_failure(int descriptor) {
  int error = 0;
  ssize_t count = 0;
  do {
    count = ::read(descriptor, &error, sizeof(error));
  } while (count < 0 && errno == EINTR);
  return count == static_cast<ssize_t>(sizeof(error)) ? error : 0;
}

}  // namespace

Result<std::unique_ptr<Child>> RealProcesses::spawn(SpawnOptions options) {
  CHECK(!options.argv.empty());
  TRY(const Pipe output, make_pipe());
  auto failure = make_pipe();
  if (!failure) {
    ::close(output.read);
    ::close(output.write);
    return fail(failure.error());
  }
  const ExecArguments arguments(options);
  const pid_t parent_pid = ::getpid();
  const pid_t pid = ::fork();
  if (pid == 0) become(arguments, options, output.write, failure->write, parent_pid);
  const int fork_error = errno;
  ::close(output.write);
  ::close(failure->write);
  const int error = pid < 0 ? fork_error : exec_failure(failure->read);
  ::close(failure->read);
  if (error != 0) {
    if (pid > 0) ::waitpid(pid, nullptr, 0);
    ::close(output.read);
    return fail(error == ENOENT ? Errc::not_found : Errc::io_failed, "start {}: {}",
                options.argv[0], strerror(error));
  }
  auto state = std::make_shared<ChildState>(context_, clock_);
  state->pid = pid;
  const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  CHECK(pidfd >= 0, "pidfd_open needs Linux 5.3");
  state->pidfd.assign(pidfd);
  Descriptor lines(context_, output.read);
  auto child = std::make_unique<RealChild>(clock_, state, std::move(lines));
  spawn_detached(context_.get_executor(), watch(state));
  return child;
}

}  // namespace om::io
