// Files into sockets: the kernel copies (sendfile(2)), on a thread of its own.
//
// One thread for all: it goes from socket to socket as they have room, so that a slow receiver
// holds up nobody, and many copies at once take no more than one processor.
#pragma once

#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "io/real/descriptor.h"
#include "io/task.h"

namespace om::io {

// copy() may be called from the io thread only. The thread is started by the first one.
class FileCopier {
 public:
  explicit FileCopier(boost::asio::io_context& context) : context_(context) {}
  ~FileCopier() { stop(); }
  FileCopier(const FileCopier&) = delete;
  FileCopier& operator=(const FileCopier&) = delete;

  // Copies until all is in the socket's buffer, or for kTurn; the number of bytes, perhaps none, or
  // an errno (negative) if it failed before the first one. The file must stay open meanwhile, the
  // socket need not.
  Task<int64_t> copy(int socket, int file, uint64_t offset, uint64_t length);
  void stop();  // Copies end where they are; there must be no more.

 private:
  using Context = boost::asio::io_context;
  struct Job {
    Descriptor socket;
    int file = -1;
    uint64_t offset = 0, length = 0, copied = 0;
    int error = 0;
    bool full = false;  // The socket is.
    std::chrono::steady_clock::time_point end;
    boost::asio::any_completion_handler<void(int64_t)> done;
    boost::asio::executor_work_guard<Context::executor_type> guard;  // The loop goes on until then.

    void copy_piece();
    bool is_done() const { return error != 0 || copied == length; }
  };
  using Jobs = std::vector<std::unique_ptr<Job>>;

  static constexpr std::chrono::milliseconds kTurn{500};

  int start();  // An errno: there is no thread.
  void add(std::unique_ptr<Job> job);
  void run();
  bool take_new(Jobs& jobs);  // False: it is to stop.
  void wait(Jobs& jobs) const;
  void finish(Job& job);

  Context& context_;
  Descriptor wake_;  // An eventfd: there are new jobs, or it is to stop.
  std::mutex mutex_;
  Jobs new_jobs_;  // Bounded by the coroutines that wait for them.
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace om::io
