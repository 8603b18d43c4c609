// Which requests to the outside go through a proxy, by HTTPS_PROXY, HTTP_PROXY and NO_PROXY as
// Go's net/http reads them (golang.org/x/net/http/httpproxy), as Ollama does.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "io/network.h"

namespace om::http {

struct ProxySettings {
  // "http://[user:password@]host[:port]", "host:port", or empty: none.
  std::string https, http;
  // Names (and all below them), ".name" (only below it), addresses, CIDR ranges, each with :PORT
  // if only that is meant; "*": everything.
  std::vector<std::string> none;
};

// Plain value; immutable once made.
class Proxies {
 public:
  Proxies() = default;  // None.
  // One that cannot be used is kept: what would go through it must fail, not go around it.
  explicit Proxies(const ProxySettings& settings);

  // The proxy for a request to `host` (a name or an address without brackets); null: none. This
  // machine is never asked for through a proxy. unsupported: it is one that cannot be used.
  Result<const io::Proxy*> choose(bool https, std::string_view host, uint16_t port) const;

 private:
  struct Exception {
    std::string name;            // Lower case, without a dot before it.
    bool only_below = false;     // Not the name itself.
    std::vector<uint8_t> bytes;  // Of an address or a range's first one; empty: a name.
    int bits = 0;
    uint16_t port = 0;  // 0: any.

    bool holds(std::string_view host, uint16_t at) const;
  };
  static std::optional<Exception> parse_exception(std::string_view text);

  Result<std::optional<io::Proxy>> https_, http_;
  std::vector<Exception> exceptions_;
  bool none_ = false;
};

// invalid_argument: not such a URL, or a kind of proxy that is not spoken (socks5, https).
Result<void> check_proxy(std::string_view url);

// A proxy's URL without its password, to be shown.
std::string without_credentials(std::string_view proxy);

}  // namespace om::http
