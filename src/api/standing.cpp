#include "api/standing.h"

#include "api/api.h"
#include "base/digest.h"
#include "base/duration.h"
#include "base/strings.h"
#include "engine/external/backend_spec.h"

namespace om::api {
namespace {

constexpr size_t kKeyNameLetters = 16;
constexpr std::string_view kBearer = "Bearer ";

}  // namespace

std::string_view credential_of(const http::Headers& headers) {
  const std::string_view authorization = headers.get("Authorization");
  if (authorization.empty()) return headers.get("X-Api-Key");
  const std::string_view scheme = authorization.substr(0, kBearer.size());
  return iequals(scheme, kBearer) ? authorization.substr(kBearer.size()) : authorization;
}

std::string key_name(std::string_view key) {
  return key.empty() ? std::string() : Digest::of(key).hex().substr(0, kKeyNameLetters);
}

Result<model::Standing> read_standing(const http::Headers& headers, const Settings& settings) {
  model::Standing standing;
  standing.key = key_name(credential_of(headers));
  const auto weight = settings.key_weights.find(standing.key);
  if (weight != settings.key_weights.end()) standing.weight = weight->second;
  const std::string_view priority = headers.get("X-Priority");
  standing.batch = iequals(priority, "batch");
  if (!standing.batch && !priority.empty() && !iequals(priority, "interactive")) {
    return fail(Errc::invalid_argument, "X-Priority must be interactive or batch");
  }
  if (const std::string_view timeout = headers.get("X-Queue-Timeout"); !timeout.empty()) {
    const auto parsed = parse_duration_or_seconds(timeout);
    if (!parsed || parsed->count() < 0) {
      return fail(Errc::invalid_argument,
                  "X-Queue-Timeout must be a time such as 20s, or a number of seconds");
    }
    standing.patience = *parsed;
  }
  standing.forwarded = !headers.get(engine::kForwardedHeader).empty();
  return standing;
}

Result<void> note_caller(model::RequestCommon& common, const Context& context,
                         const Settings& settings) {
  common.id = context.request.id;
  if (context.pick_up) {
    common.record = context.pick_up->record;
    common.record_fingerprint = context.body_fingerprint;
  }
  TRY(common.standing, read_standing(context.request.headers, settings));
  return {};
}

}  // namespace om::api
