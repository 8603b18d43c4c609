#include "transfer/auth.h"

#include <boost/json.hpp>

#include "base/base64.h"
#include "base/digest.h"
#include "base/strings.h"

namespace om::transfer {
namespace {

// One `name="value"` or `name=value` of a challenge; takes it off `rest`.
std::pair<std::string, std::string> next_parameter(std::string_view& rest) {
  const size_t start = rest.find_first_not_of(" ,\t");
  if (start == std::string_view::npos) {
    rest = {};
    return {};
  }
  rest.remove_prefix(start);
  const size_t equals = rest.find('=');
  if (equals == std::string_view::npos) {
    rest = {};
    return {};
  }
  std::string name(http::trim_ows(rest.substr(0, equals)));
  rest.remove_prefix(equals + 1);
  std::string value;
  if (rest.starts_with('"')) {
    size_t at = 1;
    for (; at < rest.size() && rest[at] != '"'; at++) {
      if (rest[at] == '\\' && at + 1 < rest.size()) at++;
      value += rest[at];
    }
    rest.remove_prefix(std::min(at + 1, rest.size()));
  } else {
    const size_t end = std::min(rest.find(','), rest.size());
    value = http::trim_ows(rest.substr(0, end));
    rest.remove_prefix(end);
  }
  return {std::move(name), std::move(value)};
}

void add_query(std::string& target, std::string_view name, std::string_view value) {
  target += target.find('?') == std::string::npos ? '?' : '&';
  target += name;
  target += '=';
  target += http::percent_encode(value);
}

// Hugging Face tells people two names for one registry, and its token server has the other one.
bool is_other_name(const http::Url& registry, const http::Url& realm) {
  return registry.scheme == "https" && iequals(registry.host, "hf.co") &&
         iequals(realm.host, "huggingface.co");
}

}  // namespace

Result<Challenge> Challenge::parse(std::string_view www_authenticate) {
  Challenge challenge;
  constexpr std::string_view kBearer = "Bearer ";
  if (www_authenticate.empty()) {
    return fail(Errc::unauthenticated, "the registry refuses us and offers no login");
  }
  const auto head = www_authenticate.substr(0, kBearer.size());
  if (!iequals(head, kBearer)) {
    return fail(Errc::unauthenticated, "the registry asks for a kind of login we do not know: {}",
                www_authenticate.substr(0, 80));
  }
  auto rest = www_authenticate.substr(kBearer.size());
  while (!rest.empty()) {
    auto [name, value] = next_parameter(rest);
    std::string* const wanted = iequals(name, "realm")     ? &challenge.realm
                                : iequals(name, "service") ? &challenge.service
                                : iequals(name, "scope")   ? &challenge.scope
                                                           : nullptr;
    if (wanted != nullptr) *wanted = std::move(value);
  }
  if (challenge.realm.empty()) {
    return fail(Errc::unauthenticated, "the registry's challenge names no realm");
  }
  return challenge;
}

Result<http::Url> token_url(const Challenge& challenge, const http::Url& registry, io::WallTime now,
                            std::string_view nonce) {
  TRY(auto url, http::Url::parse(challenge.realm));
  const bool downgraded = registry.scheme == "https" && url.scheme != "https";
  const bool same = iequals(url.host, registry.host);
  if (downgraded || (!same && !is_other_name(registry, url))) {
    return fail(Errc::forbidden, "the registry {} sends us to {} for a token; refused",
                registry.authority(), url.str());
  }
  if (!challenge.service.empty()) add_query(url.target, "service", challenge.service);
  for (size_t at = 0; at < challenge.scope.size();) {
    const size_t end = std::min(challenge.scope.find(' ', at), challenge.scope.size());
    if (end > at) add_query(url.target, "scope", challenge.scope.substr(at, end - at));
    at = end + 1;
  }
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch());
  add_query(url.target, "ts", std::to_string(seconds.count()));
  add_query(url.target, "nonce", nonce);
  return url;
}

std::string token_authorization(const security::RegistryKey& key, std::string_view method,
                                std::string_view url) {
  const std::string body_hash = base64_encode(Digest::of("").hex());
  const std::string text = fmt::format("{},{},{}", method, url, body_hash);
  return fmt::format("{}:{}", key.public_base64(), base64_encode(key.sign(text)));
}

Result<std::string> parse_token(std::string_view json) {
  boost::system::error_code error;
  const auto value = boost::json::parse(json, error);
  if (!error && value.is_object()) {
    for (const std::string_view name : {"token", "access_token"}) {
      const auto* token = value.get_object().if_contains(name);
      if (token && token->is_string() && !token->get_string().empty()) {
        return std::string(token->get_string());
      }
    }
  }
  return fail(Errc::corrupt, "the registry's token server answered without a token");
}

}  // namespace om::transfer
