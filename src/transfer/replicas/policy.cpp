#include "transfer/replicas/policy.h"

#include <algorithm>

namespace om::transfer {
namespace {

Result<int> copies_of(const boost::json::value& value, std::string_view field, int least) {
  boost::system::error_code error;
  const auto number = value.to_number<int>(error);
  if (error || number < least || number > kCopiesMax) {
    return fail(Errc::invalid_argument, "policy: {} must be {} to {}", field, least, kCopiesMax);
  }
  return number;
}

Result<std::vector<std::string>> names_of(const boost::json::value& value) {
  const auto* array = value.if_array();
  std::vector<std::string> names;
  if (array == nullptr || array->size() > kPinnedMax) {
    return fail(Errc::invalid_argument, "policy: pinned must be a list of nodes");
  }
  for (const auto& name : *array) {
    if (!name.is_string() || name.get_string().empty()) {
      return fail(Errc::invalid_argument, "policy: pinned must be a list of nodes");
    }
    names.emplace_back(name.get_string());
  }
  std::ranges::sort(names);
  const auto twice = std::ranges::unique(names);
  names.erase(twice.begin(), twice.end());
  return names;
}

Result<boost::json::object> object_in(std::string_view json) {
  boost::system::error_code error;
  auto value = boost::json::parse(json, error);
  if (error || !value.is_object()) return fail(Errc::invalid_argument, "policy: not an object");
  return std::move(value.get_object());
}

Result<Policy> policy_in(const boost::json::object& object) {
  Policy policy;
  for (const auto& [field, content] : object) {
    if (field == "factor") {
      TRY(policy.factor, copies_of(content, field, 1));
    } else if (field == "minimum") {
      TRY(policy.minimum, copies_of(content, field, 1));
    } else if (field == "popular_extra_max") {
      TRY(policy.popular_extra_max, copies_of(content, field, 0));
    } else if (field == "pinned") {
      TRY(policy.pinned, names_of(content));
    } else {
      return fail(Errc::invalid_argument, "policy: unknown field \"{}\"", std::string_view(field));
    }
  }
  return policy;
}

}  // namespace

Result<Policy> Policy::parse(std::string_view json) {
  TRY(const auto object, object_in(json));
  return policy_in(object);
}

boost::json::object Policy::json() const {
  boost::json::object object{{"factor", factor},
                             {"minimum", minimum},
                             {"pinned", boost::json::array(pinned.begin(), pinned.end())},
                             {"popular_extra_max", popular_extra_max}};
  return object;
}

int Policy::copies_wanted(int popularity) const {
  return std::max(factor + std::clamp(popularity, 0, popular_extra_max), minimum);
}

Result<KeptPolicy> KeptPolicy::parse(std::string_view json) {
  TRY(auto object, object_in(json));
  KeptPolicy kept;
  if (const auto* value = object.if_contains("revision")) {
    boost::system::error_code error;
    kept.revision = value->to_number<int64_t>(error);
    if (error || *kept.revision < 0) {
      return fail(Errc::invalid_argument, "policy: revision must be one that was told");
    }
    object.erase("revision");
  }
  TRY(kept.policy, policy_in(object));
  return kept;
}

std::string KeptPolicy::to_json() const {
  boost::json::object object = policy.json();
  if (revision) object["revision"] = *revision;
  return boost::json::serialize(object);
}

}  // namespace om::transfer
