#include "engine/external/backend_dialect.h"

#include <boost/json.hpp>

#include "base/json_fields.h"

namespace om::engine {

namespace json = boost::json;

namespace {

constexpr std::string_view kLimit = "max_tokens", kLimitOfReasoning = "max_completion_tokens";
constexpr std::string_view kEffort = "reasoning_effort";

json::object members_of(const UpstreamRequest& request) {
  boost::system::error_code failed;
  json::value body = json::parse(request.body, failed);
  return failed || !body.is_object() ? json::object() : std::move(body.get_object());
}

std::string effort_of(const json::object& body, const std::string& model) {
  return JsonFields(body).text(kEffort) + " " + model;
}

}  // namespace

UpstreamRequest BackendDialect::adapt(UpstreamRequest request) const {
  if (!wants_completion_tokens_ && efforts_refused_.empty()) return request;
  if (request.target != kChatTarget) return request;
  json::object body = members_of(request);
  if (const json::value* limit = body.if_contains(kLimit); limit && wants_completion_tokens_) {
    const json::value value = *limit;
    body.erase(kLimit);
    body[kLimitOfReasoning] = value;
  }
  if (efforts_refused_.contains(effort_of(body, request.model))) body.erase(kEffort);
  request.body = json::serialize(body);
  return request;
}

bool BackendDialect::learn(const UpstreamRequest& request, const Error& refusal) {
  if (refusal.code != Errc::invalid_argument || request.target != kChatTarget) return false;
  const json::object body = members_of(request);
  if (body.contains(kLimit) && refusal.what.contains(kLimitOfReasoning)) {
    return !std::exchange(wants_completion_tokens_, true);
  }
  if (!body.contains(kEffort) || !refusal.what.contains(kEffort)) return false;
  return efforts_refused_.insert(effort_of(body, request.model)).second;
}

}  // namespace om::engine
