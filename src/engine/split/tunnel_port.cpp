#include "engine/split/tunnel_port.h"

#include "base/log.h"
#include "engine/split/loopback_owner.h"
#include "engine/split/relay.h"

namespace om::engine {
namespace {

constexpr std::chrono::seconds kConnectMax{10};

}  // namespace

TunnelPort::TunnelPort(io::World& world, Part& part)
    : world_(world), part_(part), tasks_(world.executor, world.clock) {}

TunnelPort::~TunnelPort() = default;

Result<uint16_t> TunnelPort::listen() {
  TRY(listener_, world_.network.listen(io::Endpoint::tcp("127.0.0.1", 0), nullptr));
  tasks_.spawn(accept());
  return listener_->local().port;
}

io::Task<void> TunnelPort::accept() {
  while (true) {
    auto near = co_await listener_->accept();
    if (!near) co_return;
    if (connections_ >= kConnectionsMax) continue;  // Closed at once: no runner opens so many.
    if (!is_own_connection(world_.files, (*near)->peer())) {
      log_warn("a connection of another user to a tunnel was refused");
      continue;
    }
    tasks_.spawn(serve(std::move(*near)));
  }
}

io::Task<void> TunnelPort::serve(std::unique_ptr<io::Stream> near) {
  connections_++;
  const io::Call call = world_.clock.call_within(kConnectMax, tasks_.token());
  auto far = co_await part_.connect(call);
  if (far) {
    Relay relay(world_, std::move(near), std::move(*far));
    co_await relay.run(tasks_.token(), sent_);
  } else {
    log_warn("no way to a part of a model", field("error", far.error()));
  }
  connections_--;
}

io::Task<void> TunnelPort::stop() {
  if (listener_) listener_->close();
  co_await tasks_.stop();
}

}  // namespace om::engine
