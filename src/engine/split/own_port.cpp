#include "engine/split/own_port.h"

#include "base/log.h"
#include "engine/split/loopback_owner.h"

namespace om::engine {

OwnPort::OwnPort(io::World& world, size_t connections_max, Serve serve)
    : world_(world),
      connections_max_(connections_max),
      serve_(std::move(serve)),
      tasks_(world.executor, world.clock) {}

OwnPort::~OwnPort() = default;

Result<io::Endpoint> OwnPort::listen() {
  TRY(listener_, world_.network.listen(io::Endpoint::tcp("127.0.0.1", 0), nullptr));
  tasks_.spawn(accept());
  return listener_->local();
}

io::Task<void> OwnPort::accept() {
  while (true) {
    auto stream = co_await listener_->accept();
    if (!stream) co_return;
    if (connections_ >= connections_max_) continue;
    if (!is_own_connection(world_.files, (*stream)->peer(), listener_->local().port)) {
      log_warn("a connection of another user to a tunnel was refused");
      continue;
    }
    connections_++;
    tasks_.spawn(serve(std::move(*stream)));
  }
}

io::Task<void> OwnPort::serve(std::unique_ptr<io::Stream> stream) {
  co_await serve_(std::move(stream));
  connections_--;
}

io::Task<void> OwnPort::stop() {
  if (listener_) listener_->close();
  co_await tasks_.stop();
}

}  // namespace om::engine
