#include "http/proxy.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>

#include "base/base64.h"
#include "base/strings.h"
#include "http/message.h"

namespace om::http {
namespace {

constexpr std::string_view kScheme = "http://";

// The bytes of a numeric address, IPv4 in IPv6 taken as IPv4; empty: a name.
std::vector<uint8_t> address_bytes(const std::string& text) {
  std::array<uint8_t, 16> bytes{};
  if (::inet_pton(AF_INET, text.c_str(), bytes.data()) == 1) {
    return {bytes.begin(), bytes.begin() + 4};
  }
  if (::inet_pton(AF_INET6, text.c_str(), bytes.data()) != 1) return {};
  constexpr std::array<uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (std::equal(kMapped.begin(), kMapped.end(), bytes.begin())) {
    return {bytes.begin() + 12, bytes.end()};
  }
  return {bytes.begin(), bytes.end()};
}

bool is_loopback(const std::vector<uint8_t>& address) {
  if (address.size() == 4) return address[0] == 127;
  return address.size() == 16 && address[15] == 1 &&
         std::all_of(address.begin(), address.end() - 1, [](uint8_t byte) { return byte == 0; });
}

bool same_bits(const std::vector<uint8_t>& a, const std::vector<uint8_t>& b, int bits) {
  if (a.size() != b.size()) return false;
  for (int bit = 0; bit < bits; bit++) {
    const int mask = 0x80 >> (bit % 8);
    const auto byte = static_cast<size_t>(bit / 8);
    if ((a[byte] & mask) != (b[byte] & mask)) return false;
  }
  return true;
}

Result<std::optional<io::Proxy>> parse_proxy(std::string_view text) {
  text = trim(text);
  if (text.empty()) return std::nullopt;
  const std::string shown = without_credentials(text);
  if (text.find("://") == text.npos) {
    return parse_proxy(std::string(kScheme) + std::string(text));
  }
  if (!to_lower(text).starts_with(kScheme)) {
    return fail(Errc::invalid_argument, "\"{}\": only proxies at http:// are spoken to", shown);
  }
  text.remove_prefix(kScheme.size());
  const size_t end = std::min(text.find_first_of("/?#"), text.size());
  if (text.find('@', end) != text.npos) {
    return fail(Errc::invalid_argument,
                "\"{}\": in a proxy's user and password '/' is written %2F, '?' %3F and '#' %23",
                shown);
  }
  io::Proxy proxy;
  if (const size_t at = text.substr(0, end).rfind('@'); at != text.npos) {
    const auto user = percent_decode(text.substr(0, at));
    if (!user) return fail(Errc::invalid_argument, "\"{}\": {}", shown, user.error().what);
    proxy.authorization = "Basic " + base64_encode(*user);
    text.remove_prefix(at + 1);
  }
  const auto url = Url::parse(std::string(kScheme) + std::string(text));
  if (!url) return fail(Errc::invalid_argument, "\"{}\": {}", shown, url.error().what);
  proxy.at = io::Endpoint::tcp(url->host, url->port);
  return proxy;
}

}  // namespace

Result<void> check_proxy(std::string_view url) {
  TRY_VOID(parse_proxy(url));
  return {};
}

std::string without_credentials(std::string_view proxy) {
  const size_t scheme = proxy.find("://");
  const size_t begin = scheme == proxy.npos ? 0 : scheme + 3;
  const size_t at = proxy.rfind('@');
  if (at == proxy.npos || at < begin) return std::string(proxy);
  return fmt::format("{}***{}", proxy.substr(0, begin), proxy.substr(at));
}

// Words that are none are passed over, as Go does.
std::optional<Proxies::Exception> Proxies::parse_exception(std::string_view text) {
  Exception found;
  std::string name = to_lower(trim(text));
  if (const size_t slash = name.find('/'); slash != name.npos) {
    found.bytes = address_bytes(name.substr(0, slash));
    const auto bits = parse_number<int>(name.substr(slash + 1));
    if (found.bytes.empty() || !bits || *bits < 0 ||
        *bits > static_cast<int>(found.bytes.size() * 8)) {
      return std::nullopt;
    }
    found.bits = *bits;
    return found;
  }
  const bool bare_v6 = !address_bytes(name).empty();
  if (const size_t colon = name.rfind(':'); colon != name.npos && !bare_v6) {
    const auto port = parse_number<uint16_t>(name.substr(colon + 1));
    if (port) {
      found.port = *port;
      name.resize(colon);
    }
  }
  if (name.size() > 1 && name.front() == '[' && name.back() == ']') {
    name = name.substr(1, name.size() - 2);
  }
  if (name.starts_with("*.")) name.erase(0, 1);
  found.only_below = name.starts_with('.');
  if (found.only_below) name.erase(0, 1);
  if (name.empty()) return std::nullopt;
  found.bytes = address_bytes(name);
  found.bits = static_cast<int>(found.bytes.size() * 8);
  found.name = std::move(name);
  return found;
}

bool Proxies::Exception::holds(std::string_view host, uint16_t at) const {
  if (port != 0 && port != at) return false;
  if (!bytes.empty()) return same_bits(bytes, address_bytes(std::string(host)), bits);
  if (host == name) return !only_below;
  return host.size() > name.size() && host.ends_with(name) &&
         host[host.size() - name.size() - 1] == '.';
}

Proxies::Proxies(const ProxySettings& settings)
    : https_(parse_proxy(settings.https)), http_(parse_proxy(settings.http)) {
  for (const std::string& text : settings.none) {
    if (trim(text) == "*") none_ = true;
    if (auto exception = parse_exception(text)) exceptions_.push_back(std::move(*exception));
  }
}

Result<const io::Proxy*> Proxies::choose(bool https, std::string_view host, uint16_t port) const {
  const Result<std::optional<io::Proxy>>& proxy = https ? https_ : http_;
  if (none_ || (proxy && !*proxy)) return nullptr;
  std::string name = to_lower(host);
  if (name.ends_with('.')) name.pop_back();
  if (name == "localhost" || is_loopback(address_bytes(name))) return nullptr;
  const bool direct = std::ranges::any_of(
      exceptions_, [&](const Exception& exception) { return exception.holds(name, port); });
  if (direct) return nullptr;
  if (proxy) return &**proxy;
  return fail(Errc::unsupported, "{}: {}", https ? "HTTPS_PROXY" : "HTTP_PROXY",
              proxy.error().what);
}

}  // namespace om::http
