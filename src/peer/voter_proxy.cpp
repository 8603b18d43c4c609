#include "peer/voter_proxy.h"

#include <array>

#include "base/log.h"
#include "engine/split/loopback_owner.h"
#include "engine/split/relay.h"
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
    : world_(world), link_at_(std::move(link_at)), tasks_(world.executor, world.clock) {}

VoterProxy::~VoterProxy() = default;

Result<io::Endpoint> VoterProxy::listen() {
  TRY(listener_, world_.network.listen(io::Endpoint::tcp("127.0.0.1", 0), nullptr));
  tasks_.spawn(accept());
  return listener_->local();
}

io::Task<void> VoterProxy::accept() {
  while (true) {
    auto near = co_await listener_->accept();
    if (!near) co_return;
    if (connections_ >= kConnectionsMax) continue;  // Closed at once: etcd opens a few to each.
    if (!engine::is_own_connection(world_.files, (*near)->peer())) {
      log_warn("a connection of another user to the voters' proxy was refused");
      continue;
    }
    tasks_.spawn(serve(std::move(*near)));
  }
}

io::Task<void> VoterProxy::serve(std::unique_ptr<io::Stream> near) {
  connections_++;
  near->set_deadline(world_.clock.now() + 2 * kConnectMax);
  auto far = co_await reach(*near);
  const auto told = co_await near->write(far ? kOpened : kNoWay);
  if (far && told) {
    near->set_deadline(io::kNever);
    engine::Relay relay(world_, std::move(near), std::move(*far));
    uint64_t bytes = 0;
    co_await relay.run(tasks_.token(), bytes);
  } else if (!far) {
    log_debug("no way to a voter's etcd", field("error", far.error()));
  }
  connections_--;
}

io::Task<Result<std::unique_ptr<io::Stream>>> VoterProxy::reach(io::Stream& near) {
  std::string head;
  std::array<char, 1024> piece{};
  while (!head.ends_with(kHeadEnd)) {
    const io::OnCancel on_stop(tasks_.token(), [&near] { near.abort(); });
    CO_TRY(const size_t count, co_await near.read_some(piece));
    if (count == 0) co_return fail(Errc::unavailable, "closed");
    head.append(piece.data(), count);
    if (head.size() > kHeadBytesMax) co_return fail(Errc::invalid_argument, "too long a head");
  }
  CO_TRY(const io::Endpoint to, parse_connect(head));
  const io::Call call = world_.clock.call_within(kConnectMax, tasks_.token());
  const auto link = link_at_ ? link_at_(to) : std::nullopt;
  if (!link) co_return co_await world_.network.connect(to, nullptr, call);
  auto request = link->request("GET", std::string(kVoterTunnelPath));
  co_return co_await http::upgrade(world_, std::move(request), std::string(kVoterProtocol), call);
}

io::Task<void> VoterProxy::stop() {
  if (listener_) listener_->close();
  co_await tasks_.stop();
}

}  // namespace om::peer
