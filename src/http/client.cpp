#include "http/client.h"

#include <algorithm>
#include <array>

#include "base/strings.h"
#include "base/version.h"
#include "http/client_exchange.h"
#include "http/client_pool.h"
#include "http/metrics.h"

namespace om::http {

ClientRequest ClientRequest::to(std::string method, const Url& url) {
  ClientRequest request;
  request.method = std::move(method);
  request.endpoint = io::Endpoint::tcp(url.host, url.port);
  if (url.scheme == "https") {
    auto tls = std::make_shared<io::Tls>();
    tls->server_name = url.host;
    request.tls = std::move(tls);
  }
  request.host = url.authority();
  request.target = url.target;
  return request;
}

Result<std::string> make_request_head(const ClientRequest& request) {
  const auto visible = [](char c) { return static_cast<uint8_t>(c) > ' ' && c != 127; };
  if (!valid_field_name(request.method)) {
    return fail(Errc::invalid_argument, "'{}' is not an HTTP method", request.method);
  }
  if (request.target.empty() ||
      !std::all_of(request.target.begin(), request.target.end(), visible)) {
    return fail(Errc::invalid_argument, "a bad character in the request target");
  }
  const std::string host = request.host.empty() ? request.endpoint.host : request.host;
  if (!std::all_of(host.begin(), host.end(), visible)) {
    return fail(Errc::invalid_argument, "a bad character in the Host header");
  }
  std::string head = fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\n", request.method, request.target,
                                 host.empty() ? "localhost" : host);
  for (const auto& [name, value] : request.headers) {
    if (!valid_field_name(name) || !valid_field_value(value)) {
      return fail(Errc::invalid_argument, "a bad character in the header '{}'", name);
    }
    if (iequals(name, "Host") || iequals(name, "Content-Length") ||
        iequals(name, "Transfer-Encoding")) {
      continue;  // Written here, from what is really sent.
    }
    head.append(name).append(": ").append(value).append("\r\n");
  }
  if (!request.headers.has("User-Agent")) {
    head.append("User-Agent: ollamamax/").append(kVersion).append("\r\n");
  }
  const uint64_t length = request.body_source ? request.body_length : request.body.size();
  if (length > 0 || (request.method != "GET" && request.method != "HEAD")) {
    head += fmt::format("Content-Length: {}\r\n", length);
  }
  head += "\r\n";
  return head;
}

namespace {

// RFC 9110, 9.2.2.
bool may_be_done_twice(const ClientRequest& request) {
  static constexpr std::array<std::string_view, 5> kIdempotent{"GET", "HEAD", "PUT", "DELETE",
                                                               "OPTIONS"};
  return request.repeatable || std::ranges::find(kIdempotent, request.method) != kIdempotent.end();
}

}  // namespace

struct Client::Impl {
  Impl(io::World& the_world, ClientLimits the_limits)
      : world(the_world),
        limits(the_limits),
        pool(std::make_shared<ClientPool>(the_world.clock, the_limits)) {}

  io::Task<Result<std::unique_ptr<ClientResponse>>> send(ClientRequest request, io::Call call);
  io::Task<Result<std::unique_ptr<io::Stream>>> connect(const ClientRequest& request,
                                                        const io::Call& call);
  Result<void> choose_way(ClientRequest& request) const;

  io::World& world;
  ClientLimits limits;
  Proxies proxies;
  std::shared_ptr<ClientPool> pool;
};

// A proxy opens a way for TLS; what is not encrypted it is asked for itself.
Result<void> Client::Impl::choose_way(ClientRequest& request) const {
  const io::Endpoint& to = request.endpoint;
  if (!request.outside || !to.unix_path.empty()) return {};
  TRY(const io::Proxy* proxy, proxies.choose(request.tls != nullptr, to.host, to.port));
  if (!proxy) return {};
  if (request.tls) {
    request.proxy = *proxy;
    return {};
  }
  const std::string authority = request.host.empty() ? to.str() : request.host;
  request.target = "http://" + authority + request.target;
  request.endpoint = proxy->at;
  if (!proxy->authorization.empty()) {
    request.headers.set("Proxy-Authorization", proxy->authorization);
  }
  return {};
}

io::Task<Result<std::unique_ptr<io::Stream>>> Client::Impl::connect(const ClientRequest& request,
                                                                    const io::Call& call) {
  io::Call within = world.clock.call_within(limits.connect_max, call);
  auto connecting = request.proxy
                        ? world.network.connect_through(*request.proxy, request.endpoint,
                                                        request.tls, std::move(within))
                        : world.network.connect(request.endpoint, request.tls, std::move(within));
  auto stream = co_await std::move(connecting);
  if (!stream && stream.error().code == Errc::deadline_exceeded &&
      world.clock.now() < call.deadline) {
    // Only connecting took too long: the caller's time is not over, and another node may answer.
    co_return fail(Errc::unavailable, "{}", stream.error().what);
  }
  co_return stream;
}

io::Task<Result<std::unique_ptr<ClientResponse>>> Client::Impl::send(ClientRequest request,
                                                                     io::Call call) {
  CO_TRY_VOID(choose_way(request));
  CO_TRY(const std::string head, make_request_head(request));
  const std::string key = ClientPool::key(request);
  metrics::client_requests.add();
  for (bool first = true;; first = false) {
    if (!first) metrics::client_retries.add();
    if (call.cancel.cancelled()) co_return fail(Errc::cancelled, "the request is cancelled");
    if (call.deadline <= world.clock.now()) {
      co_return fail(Errc::deadline_exceeded, "the request's time is over");
    }
    std::unique_ptr<io::Stream> stream;
    if (first) stream = pool->take(key);
    const bool reused = stream != nullptr;
    if (!reused) {
      metrics::client_connects.add();
      CO_TRY(stream, co_await connect(request, call));
    }
    auto exchange =
        std::make_unique<ClientExchange>(pool, key, std::move(stream), world.clock, call, limits);
    auto answered = co_await exchange->run(request, head);
    if (answered) co_return std::unique_ptr<ClientResponse>(std::move(exchange));
    const bool again = reused && !exchange->received_any() && !exchange->body_source_used() &&
                       may_be_done_twice(request) && answered.error().code == Errc::unavailable;
    if (!again) {
      co_return fail(
          annotate(std::move(answered).error(), request.method + " " + request.endpoint.str()));
    }
  }
}

Client::Client(io::World& world, ClientLimits limits)
    : impl_(std::make_unique<Impl>(world, limits)) {}
Client::~Client() = default;

io::Task<Result<std::unique_ptr<ClientResponse>>> Client::send(ClientRequest request,
                                                               io::Call call) {
  return impl_->send(std::move(request), std::move(call));
}

void Client::use_proxies(Proxies proxies) { impl_->proxies = std::move(proxies); }

void Client::close_idle() { impl_->pool->clear(); }

void Client::close_idle(ClientRequest like) {
  if (!impl_->choose_way(like)) return;  // There is no way, and no connection.
  impl_->pool->clear(ClientPool::key(like));
}

}  // namespace om::http
