#include "io/real/proxy_tunnel.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

namespace om::io {

namespace asio = boost::asio;

namespace {

constexpr size_t kHeadBytesMax = 16 * 1024;
constexpr std::string_view kHeadEnd = "\r\n\r\n";

Result<void> judge(std::string_view head, const std::string& proxy) {
  const std::string_view line = head.substr(0, head.find('\r'));
  const size_t blank = line.find(' ');
  if (!line.starts_with("HTTP/1.") || blank == line.npos) {
    return fail(Errc::unavailable, "{} is not an HTTP proxy", proxy);
  }
  const std::string_view status = line.substr(blank + 1);
  if (status.starts_with("407")) {
    return fail(Errc::unauthenticated, "proxy {} wants a login: {}", proxy, status);
  }
  if (!status.starts_with('2')) return fail(Errc::unavailable, "proxy {}: {}", proxy, status);
  if (!head.ends_with(kHeadEnd)) {
    return fail(Errc::unavailable, "proxy {} sent more than its answer", proxy);
  }
  return {};
}

}  // namespace

Task<Result<void>> open_tunnel(Socket& socket, const Proxy& proxy, const Endpoint& to) {
  const std::string name = proxy.at.str();
  std::string text = fmt::format("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n", to.str());
  if (!proxy.authorization.empty()) {
    text += fmt::format("Proxy-Authorization: {}\r\n", proxy.authorization);
  }
  text += "\r\n";
  const auto [failed, sent] =
      co_await asio::async_write(socket, asio::buffer(text), asio::as_tuple(asio::use_awaitable));
  if (failed) co_return fail(Errc::unavailable, "proxy {}: {}", name, failed.message());
  std::string head;
  const auto [error, count] =
      co_await asio::async_read_until(socket, asio::dynamic_buffer(head, kHeadBytesMax),
                                      std::string(kHeadEnd), asio::as_tuple(asio::use_awaitable));
  if (error) co_return fail(Errc::unavailable, "proxy {}: {}", name, error.message());
  co_return judge(head, name);
}

}  // namespace om::io
