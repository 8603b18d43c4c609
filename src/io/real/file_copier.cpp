#include "io/real/file_copier.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/async_result.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace om::io {

namespace asio = boost::asio;

namespace {

constexpr uint64_t kPieceBytes = 2 << 20;  // Before it is another socket's turn.

// A file goes out page by page; packets that are not full wait for the next ones while this is on.
// Without it a copy over loopback has two thirds of the rate.
void set_cork(int socket, int on) {
  // Not every socket is TCP; one that cannot do it is only slower.
  (void)::setsockopt(socket, IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
}

}  // namespace

void FileCopier::Job::copy_piece() {
  auto at = static_cast<off_t>(offset + copied);
  const uint64_t wanted = std::min(length - copied, kPieceBytes);
  const ssize_t count = ::sendfile(socket.get(), file, &at, wanted);
  if (count > 0) {
    copied += static_cast<uint64_t>(count);
  } else if (count == 0) {
    error = ENODATA;
  } else if (errno == EAGAIN) {
    full = true;
  } else if (errno != EINTR) {
    error = errno;
  }
}

Task<int64_t> FileCopier::copy(int socket, int file, uint64_t offset, uint64_t length) {
  if (const int error = start(); error != 0) co_return -error;
  // A descriptor of its own: the stream may be closed meanwhile and the number given to another.
  Descriptor own(::fcntl(socket, F_DUPFD_CLOEXEC, 0));
  if (own.get() < 0) co_return -errno;
  set_cork(own.get(), 1);
  co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(int64_t)>(
      [&](auto handler) {
        add(std::make_unique<Job>(Job{.socket = std::move(own),
                                      .file = file,
                                      .offset = offset,
                                      .length = length,
                                      .end = std::chrono::steady_clock::now() + kTurn,
                                      .done = std::move(handler),
                                      .guard = asio::make_work_guard(context_)}));
      },
      asio::use_awaitable);
}

int FileCopier::start() {
  if (thread_.joinable()) return 0;
  wake_ = Descriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (wake_.get() < 0) return errno;
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error& error) {  // The machine's limit of threads.
    return error.code().value();
  }
  return 0;
}

void FileCopier::add(std::unique_ptr<Job> job) {
  const std::lock_guard lock(mutex_);
  new_jobs_.push_back(std::move(job));
  ::eventfd_write(wake_.get(), 1);
}

void FileCopier::stop() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    ::eventfd_write(wake_.get(), 1);
  }
  thread_.join();
}

void FileCopier::finish(Job& job) {
  set_cork(job.socket.get(), 0);
  const bool failed = job.copied == 0 && job.error != 0;
  const int64_t result = failed ? -job.error : static_cast<int64_t>(job.copied);
  asio::post(context_, [done = std::move(job.done), guard = std::move(job.guard),
                        result]() mutable { std::move(done)(result); });
}

bool FileCopier::take_new(Jobs& jobs) {
  const std::lock_guard lock(mutex_);
  std::ranges::move(new_jobs_, std::back_inserter(jobs));
  new_jobs_.clear();
  return !stopping_;
}

// Until a full socket has room, its turn is over, or there is news; not at all if one has room.
void FileCopier::wait(Jobs& jobs) const {
  std::vector<pollfd> waits{{wake_.get(), POLLIN, 0}};
  int timeout_ms = -1;
  const auto now = std::chrono::steady_clock::now();
  for (const auto& job : jobs) {
    waits.push_back({job->full ? job->socket.get() : -1, POLLOUT, 0});
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(job->end - now).count();
    const int until = job->full ? static_cast<int>(std::max<int64_t>(left, 0)) : 0;
    timeout_ms = timeout_ms < 0 ? until : std::min(timeout_ms, until);
  }
  if (::poll(waits.data(), waits.size(), timeout_ms) <= 0) return;
  eventfd_t ignored = 0;
  if (waits[0].revents != 0) ::eventfd_read(wake_.get(), &ignored);
  for (size_t i = 0; i < jobs.size(); i++) {
    if (waits[i + 1].revents != 0) jobs[i]->full = false;  // Or it is broken: sendfile() tells.
  }
}

void FileCopier::run() {
  // Copying to a peer that has left must fail, not end the process.
  sigset_t broken_pipe;
  sigemptyset(&broken_pipe);
  sigaddset(&broken_pipe, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &broken_pipe, nullptr);
  Jobs jobs;
  while (take_new(jobs)) {
    for (const auto& job : jobs) {
      if (!job->full) job->copy_piece();
    }
    const auto now = std::chrono::steady_clock::now();
    std::erase_if(jobs, [&](const std::unique_ptr<Job>& job) {
      const bool over = job->is_done() || now >= job->end;
      if (over) finish(*job);
      return over;
    });
    wait(jobs);
  }
  for (const auto& job : jobs) finish(*job);
}

}  // namespace om::io
