#include "peer/tunnel.h"

#include "engine/split/stream_relay.h"

namespace om::peer {
namespace {

constexpr std::chrono::seconds kConnectMax{5};

}  // namespace

io::Task<Result<void>> tunnel_to(io::World& world, io::Endpoint at, std::string_view protocol,
                                 http::ResponseWriter& response, io::Call call) {
  const io::Call connecting = world.clock.call_within(kConnectMax, call.cancel);
  CO_TRY(auto far, co_await world.network.connect(std::move(at), nullptr, connecting));
  CO_TRY(auto near, co_await response.upgrade(std::string(protocol)));
  engine::StreamRelay relay(world, std::move(near), std::move(far));
  uint64_t bytes = 0;
  co_await relay.run(call.cancel, bytes);
  co_return Result<void>{};
}

}  // namespace om::peer
