#include "engine/split/tunnel_port.h"

#include "base/log.h"
#include "engine/split/stream_relay.h"

namespace om::engine {
namespace {

constexpr std::chrono::seconds kConnectMax{10};

}  // namespace

TunnelPort::TunnelPort(io::World& world, Part& part)
    : world_(world),
      part_(part),
      port_(world, kConnectionsMax, [this](auto near) { return serve(std::move(near)); }) {}

TunnelPort::~TunnelPort() = default;

Result<uint16_t> TunnelPort::listen() {
  TRY(const io::Endpoint at, port_.listen());
  return at.port;
}

io::Task<void> TunnelPort::serve(std::unique_ptr<io::Stream> near) {
  const io::Call call = world_.clock.call_within(kConnectMax, port_.token());
  auto far = co_await part_.connect(call);
  if (!far) {
    log_warn("no way to a part of a model", field("error", far.error()));
    co_return;
  }
  StreamRelay relay(world_, std::move(near), std::move(*far));
  co_await relay.run(port_.token(), sent_);
}

}  // namespace om::engine
