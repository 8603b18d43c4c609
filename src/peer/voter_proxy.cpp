#include "peer/voter_proxy.h"

#include <array>

#include "base/log.h"
#include "engine/split/stream_relay.h"
#include "http/upgrade.h"
#include "peer/voter_service.h"

namespace om::peer {
namespace {

constexpr std::chrono::seconds kConnectMax{5};
constexpr size_t kHeadBytesMax = 4096;
constexpr std::string_view kHeadEnd = "\r\n\r\n", kMethod = "CONNECT ";
constexpr std::string_view kOpened = "HTTP/1.1 200 OK\r\n\r\n";
constexpr std::string_view kNoWay = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n";

}  // namespace

Result<io::Endpoint> parse_connect(std::string_view head) {
  const std::string_view line = head.substr(0, head.find("\r\n"));
  const size_t blank = line.rfind(" HTTP/1.");
  if (!line.starts_with(kMethod) || blank == line.npos || blank < kMethod.size() ||
      !head.ends_with(kHeadEnd)) {
    return fail(Errc::invalid_argument, "no CONNECT");
  }
  const std::string_view authority = line.substr(kMethod.size(), blank - kMethod.size());
  TRY(const http::Url url, http::Url::parse(fmt::format("https://{}", authority)));
  if (url.port == 0) return fail(Errc::invalid_argument, "no port in '{}'", authority);
  return io::Endpoint::tcp(url.host, url.port);
}

VoterProxy::VoterProxy(io::World& world, LinkAt link_at)
    : world_(world),
      link_at_(std::move(link_at)),
      port_(world, kConnectionsMax, [this](auto near) { return serve(std::move(near)); }) {}

VoterProxy::~VoterProxy() = default;

io::Task<void> VoterProxy::serve(std::unique_ptr<io::Stream> near) {
  near->set_deadline(world_.clock.now() + 2 * kConnectMax);
  auto far = co_await reach(*near);
  const auto told = co_await near->write(far ? kOpened : kNoWay);
  if (!far) log_debug("no way to a voter's etcd", field("error", far.error()));
  if (!far || !told) co_return;
  near->set_deadline(io::kNever);
  engine::StreamRelay relay(world_, std::move(near), std::move(*far));
  uint64_t bytes = 0;
  co_await relay.run(port_.token(), bytes);
}

io::Task<Result<std::unique_ptr<io::Stream>>> VoterProxy::reach(io::Stream& near) {
  std::string head;
  std::array<char, 1024> piece{};
  const io::OnCancel on_stop(port_.token(), [&near] { near.abort(); });
  while (!head.ends_with(kHeadEnd)) {
    CO_TRY(const size_t count, co_await near.read_some(piece));
    if (count == 0) co_return fail(Errc::unavailable, "closed");
    head.append(piece.data(), count);
    if (head.size() > kHeadBytesMax) co_return fail(Errc::invalid_argument, "too long a head");
  }
  CO_TRY(const io::Endpoint to, parse_connect(head));
  const io::Call call = world_.clock.call_within(kConnectMax, port_.token());
  const auto link = link_at_ ? link_at_(to) : std::nullopt;
  if (!link) co_return co_await world_.network.connect(to, nullptr, call);
  auto request = link->request("GET", std::string(kVoterTunnelPath));
  co_return co_await http::upgrade(world_, std::move(request), std::string(kVoterProtocol), call);
}

}  // namespace om::peer
