#include "io/network.h"

namespace om::io {

std::string Endpoint::str() const {
  if (!unix_path.empty()) return "unix:" + unix_path;
  const bool ipv6 = host.find(':') != std::string::npos;
  return ipv6 ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
}

Task<Result<void>> Stream::write(std::string_view data) {
  const std::array<std::string_view, 1> parts{data};
  co_return co_await write(std::span<const std::string_view>(parts));
}

bool Stream::from_this_machine() const {
  const std::string from = peer();
  return from.starts_with("127.") || from.starts_with("[::1]") ||
         from.starts_with("[::ffff:127.") || from.starts_with("unix");
}

Task<Result<uint64_t>> Stream::send_file(File&, uint64_t, uint64_t) {
  co_return fail(Errc::unsupported, "this stream copies no files");
}

Task<Result<std::unique_ptr<Stream>>> Network::connect_through(Proxy, Endpoint,
                                                               std::shared_ptr<const Tls>, Call) {
  co_return fail(Errc::unsupported, "this network has no proxies");
}

}  // namespace om::io
