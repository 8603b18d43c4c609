// A port on loopback that accepts only processes of this node's own user.
#pragma once

#include <functional>
#include <memory>

#include "io/task_group.h"
#include "io/world.h"

namespace om::engine {

// On the io thread; stop() must have returned before it is destroyed.
class OwnPort {
 public:
  using Serve = std::function<io::Task<void>(std::unique_ptr<io::Stream>)>;

  // Further connections are closed at once.
  OwnPort(io::World& world, size_t connections_max, Serve serve);
  ~OwnPort();

  Result<io::Endpoint> listen();                            // Once.
  io::CancelToken token() const { return tasks_.token(); }  // Cancelled by stop().
  io::Task<void> stop();                                    // Waits until all connections ended.

 private:
  io::Task<void> accept();
  io::Task<void> serve(std::unique_ptr<io::Stream> stream);

  io::World& world_;
  size_t connections_max_, connections_ = 0;
  Serve serve_;
  std::unique_ptr<io::Listener> listener_;
  io::TaskGroup tasks_;
};

}  // namespace om::engine
