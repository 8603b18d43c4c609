// The real outside world: Asio, POSIX, OpenSSL.
#pragma once

#include <functional>
#include <memory>

#include "io/name_service.h"
#include "io/world.h"

namespace om::io {

struct RealOptions {
  size_t worker_threads = 2;
  AskName ask_name;  // Empty: the system.
};

// Owns the io thread's loop. Made and run on one thread, which becomes the io thread.
class RealWorld {
 public:
  explicit RealWorld(RealOptions options = {});
  ~RealWorld();
  World& world();
  NameService& names();

  void run();   // Until stop(), or until nothing is left to do.
  void stop();  // From the io thread.
  // Runs `task` to its end on this thread, with everything else that is spawned.
  void run_until_done(Task<void> task);
  // Calls back on the io thread when one of the signals arrives, in place of an earlier callback.
  void on_signal(std::vector<int> numbers, std::function<void(int)> callback);
  void default_signals();  // Ends on_signal(): the signals do again what they did before.

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace om::io
