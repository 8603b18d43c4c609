#include "api/access.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "base/strings.h"

namespace om::api {
namespace {

constexpr std::array kDefaultOrigins = {
    "http://localhost",
    "https://localhost",
    "http://localhost:*",
    "https://localhost:*",
    "http://127.0.0.1",
    "https://127.0.0.1",
    "http://127.0.0.1:*",
    "https://127.0.0.1:*",
    "http://0.0.0.0",
    "https://0.0.0.0",
    "http://0.0.0.0:*",
    "https://0.0.0.0:*",
    "app://*",
    "file://*",
    "tauri://*",
    "vscode-webview://*",
    "vscode-file://*",
    "chrome-extension://*",
    "moz-extension://*",
    "safari-web-extension://*",
};

// host, host:port, [v6] or [v6]:port without the port and brackets.
std::string_view without_port(std::string_view host) {
  if (host.starts_with('[')) return host.substr(1, host.find(']') - 1);
  const size_t colon = host.rfind(':');
  if (colon != host.npos && host.find(':') == colon) return host.substr(0, colon);
  return host;
}

std::optional<std::array<uint8_t, 4>> parse_v4(std::string_view text) {
  std::array<uint8_t, 4> bytes{};
  for (size_t i = 0; i < bytes.size(); i++) {
    const char* begin = text.data();
    const char* end = begin + text.size();
    const auto [next, error] = std::from_chars(begin, end, bytes[i]);
    if (error != std::errc()) return std::nullopt;
    text.remove_prefix(static_cast<size_t>(next - begin));
    if (i < 3 && !text.starts_with('.')) return std::nullopt;
    if (i < 3) text.remove_prefix(1);
  }
  if (!text.empty()) return std::nullopt;
  return bytes;
}

bool is_near_v4(const std::array<uint8_t, 4>& a) {
  if (a[0] == 127 || a[0] == 10) return true;
  if (a[0] == 172 && a[1] >= 16 && a[1] <= 31) return true;
  if (a[0] == 192 && a[1] == 168) return true;
  return a == std::array<uint8_t, 4>{0, 0, 0, 0};
}

// Loopback, unspecified, or unique local (RFC 4193).
bool is_near_v6(std::string_view text) {
  if (text == "::" || text == "::1") return true;
  if (text.starts_with("::ffff:")) {
    const auto v4 = parse_v4(text.substr(7));
    return v4 && is_near_v4(*v4);
  }
  return (text.starts_with("fc") || text.starts_with("fd")) && text.find(':') <= 4;
}

bool matches(std::string_view pattern, std::string_view text) {
  const size_t star = pattern.find('*');
  if (star == pattern.npos) return pattern == text;
  const std::string_view before = pattern.substr(0, star), after = pattern.substr(star + 1);
  return text.size() >= before.size() + after.size() && text.starts_with(before) &&
         text.ends_with(after);
}

}  // namespace

AccessRules::AccessRules(bool check_host, std::vector<std::string> own_names,
                         std::vector<std::string> origins)
    : check_host_(check_host), origins_(kDefaultOrigins.begin(), kDefaultOrigins.end()) {
  for (const std::string& name : own_names) own_names_.push_back(to_lower(name));
  for (const std::string& origin : origins) origins_.push_back(to_lower(origin));
}

bool AccessRules::host_allowed(std::string_view host) const {
  return !check_host_ || names_this_machine(host);
}

bool AccessRules::names_this_machine(std::string_view host) const {
  const std::string name = to_lower(without_port(host));
  if (name.empty() || name == "localhost") return true;
  if (std::find(own_names_.begin(), own_names_.end(), name) != own_names_.end()) return true;
  for (const std::string_view ending : {".localhost", ".local", ".internal"}) {
    if (name.ends_with(ending)) return true;
  }
  if (const auto v4 = parse_v4(name)) return is_near_v4(*v4);
  return name.find(':') != name.npos && is_near_v6(name);
}

AccessRules::Origin AccessRules::judge_origin(std::string_view origin,
                                              std::string_view host) const {
  if (origin.empty()) return Origin::none;
  const std::string page = to_lower(origin);
  const std::string own = to_lower(host);
  if (page == "http://" + own || page == "https://" + own) return Origin::same;
  for (const std::string& pattern : origins_) {
    if (matches(pattern, page)) return Origin::allowed;
  }
  return Origin::refused;
}

bool came_through_a_proxy(const http::Headers& headers) {
  static constexpr std::string_view kMarks[] = {"Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"};
  return std::ranges::any_of(kMarks,
                             [&headers](std::string_view mark) { return headers.has(mark); });
}

void add_origin_headers(http::Headers& headers, std::string_view origin) {
  headers.set("Access-Control-Allow-Origin", origin);
  headers.add("Vary", "Origin");
  // A page's script sees no others.
  headers.set("Access-Control-Expose-Headers",
              "X-Request-Id,request-id,Retry-After,"
              "X-OllamaMax-Node,X-OllamaMax-Attempts,X-OllamaMax-Resumed,"
              "X-OllamaMax-Truncated");
}

void add_preflight_headers(http::Headers& headers) {
  headers.set("Access-Control-Allow-Methods", "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS");
  headers.set("Access-Control-Allow-Headers",
              "Authorization,Content-Type,User-Agent,Accept,X-Requested-With,OpenAI-Beta,"
              "OpenAI-Organization,OpenAI-Project,x-api-key,anthropic-version,anthropic-beta,"
              "anthropic-dangerous-direct-browser-access,"
              "Idempotency-Key,Last-Event-ID,X-Priority,X-Queue-Timeout,"
              "x-stainless-arch,x-stainless-async,x-stainless-custom-poll-interval,"
              "x-stainless-helper-method,x-stainless-lang,x-stainless-os,"
              "x-stainless-package-version,x-stainless-poll-helper,x-stainless-retry-count,"
              "x-stainless-runtime,x-stainless-runtime-version,x-stainless-timeout");
  headers.set("Access-Control-Max-Age", "43200");
}

}  // namespace om::api
