#include <algorithm>

#include "base/strings.h"
#include "http/message.h"

namespace om::http {
namespace {

bool unreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

uint16_t default_port(std::string_view scheme) { return scheme == "https" ? 443 : 80; }

}  // namespace

Result<std::string> percent_decode(std::string_view text, bool plus_is_space) {
  std::string decoded;
  decoded.reserve(text.size());
  for (size_t i = 0; i < text.size(); i++) {
    char c = text[i];
    if (c == '+' && plus_is_space) c = ' ';
    if (c == '%') {
      const int high = i + 2 < text.size() ? hex_value(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? hex_value(text[i + 2]) : -1;
      if (high < 0 || low < 0) return fail(Errc::invalid_argument, "broken percent escape");
      c = static_cast<char>(high * 16 + low);
      i += 2;
    }
    if (c == '\0') return fail(Errc::invalid_argument, "a NUL character in a URL");
    decoded.push_back(c);
  }
  return decoded;
}

std::string percent_encode(std::string_view text) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  std::string encoded;
  encoded.reserve(text.size());
  for (const char c : text) {
    if (unreserved(c)) {
      encoded.push_back(c);
    } else {
      const auto byte = static_cast<uint8_t>(c);
      encoded.push_back('%');
      encoded.push_back(kDigits[byte >> 4]);
      encoded.push_back(kDigits[byte & 15]);
    }
  }
  return encoded;
}

namespace {

Result<uint16_t> parse_port(std::string_view text) {
  const auto port = parse_number<uint16_t>(text);
  if (!port || *port == 0) return fail(Errc::invalid_argument, "'{}' is not a port", text);
  return *port;
}

// RFC 3986 section 3.2.2, with the zone of RFC 6874 as people write it: fe80::1%eth0.
bool is_ip_literal(std::string_view text) {
  const std::string_view address = text.substr(0, text.find('%'));
  return address.contains(':') && std::ranges::all_of(address, [](char c) {
           return hex_value(c) >= 0 || c == ':' || c == '.';
         });
}

// host, host:port or [v6]:port into `url`.
Result<void> parse_authority(std::string_view text, Url& url) {
  std::string_view port;
  if (text.starts_with('[')) {
    const size_t close = text.find(']');
    if (close == std::string_view::npos) return fail(Errc::invalid_argument, "unclosed '[' in URL");
    url.host = text.substr(1, close - 1);
    if (!is_ip_literal(url.host)) {
      return fail(Errc::invalid_argument, "'[{}]' in a URL is not an IPv6 address", url.host);
    }
    port = text.substr(close + 1);
    if (!port.empty() && port[0] != ':') {
      return fail(Errc::invalid_argument, "unexpected text after ']' in URL");
    }
  } else {
    const size_t colon = text.find(':');
    url.host = text.substr(0, colon);
    if (colon != std::string_view::npos) port = text.substr(colon);
  }
  if (url.host.empty()) return fail(Errc::invalid_argument, "a URL without a host");
  for (const char c : url.host) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte <= ' ' || byte == 127 || c == '"' || c == '<' || c == '>' || c == '\\' || c == '[' ||
        c == ']') {
      return fail(Errc::invalid_argument, "a bad character in the host of a URL");
    }
  }
  url.port = default_port(url.scheme);
  if (port.size() > 1) {
    TRY(url.port, parse_port(port.substr(1)));
  }
  return {};
}

}  // namespace

Result<Url> Url::parse(std::string_view text) {
  Url url;
  const size_t colon = text.find("://");
  if (colon == std::string_view::npos) {
    return fail(Errc::invalid_argument, "'{}' is not an absolute URL", text);
  }
  url.scheme = to_lower(text.substr(0, colon));
  if (url.scheme != "http" && url.scheme != "https") {
    return fail(Errc::invalid_argument, "unknown URL scheme '{}'", url.scheme);
  }
  const std::string_view rest = text.substr(colon + 3);
  const size_t end = rest.find_first_of("/?#");
  std::string_view authority = rest.substr(0, end);
  // Credentials in a URL are not used, and must not travel in a Host header.
  if (const size_t at = authority.rfind('@'); at != std::string_view::npos) {
    authority.remove_prefix(at + 1);
  }
  TRY_VOID(parse_authority(authority, url));
  std::string_view target = end == std::string_view::npos ? "" : rest.substr(end);
  target = target.substr(0, target.find('#'));
  for (const char c : target) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte <= ' ' || byte == 127) {
      return fail(Errc::invalid_argument, "a space or control character in a URL");
    }
  }
  if (!target.starts_with('/')) url.target = "/";
  url.target += target;
  return url;
}

std::string Url::authority() const {
  std::string text = host.find(':') == std::string::npos ? host : "[" + host + "]";
  if (port != default_port(scheme)) text += ":" + std::to_string(port);
  return text;
}

std::string Url::str() const { return scheme + "://" + authority() + target; }

}  // namespace om::http
