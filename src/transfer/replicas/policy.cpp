#include "transfer/replicas/policy.h"

#include <algorithm>
#include <array>

namespace om::transfer {
namespace {

enum class Source { user, node };

struct Count {
  std::string_view field;
  int Policy::* member;
  int least;
};
constexpr std::array kCounts{Count{"factor", &Policy::factor, 1},
                             Count{"minimum", &Policy::minimum, 1},
                             Count{"popular_extra_max", &Policy::popular_extra_max, 0}};

Result<int> copies_of(const boost::json::value& value, const Count& count, Source source) {
  boost::system::error_code error;
  const auto number = value.to_number<int>(error);
  if (!error && number >= count.least && number <= kCopiesMax) return number;
  if (source == Source::node && value.is_number()) {
    const double kept = value.to_number<double>(error);
    return static_cast<int>(std::clamp<double>(kept, count.least, kCopiesMax));
  }
  return fail(Errc::invalid_argument, "policy: {} must be {} to {}", count.field, count.least,
              kCopiesMax);
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

Result<Policy> policy_in(const boost::json::object& object, Source source) {
  Policy policy;
  for (const auto& [field, content] : object) {
    const auto count = std::ranges::find(kCounts, std::string_view(field), &Count::field);
    if (count != kCounts.end()) {
      TRY(policy.*count->member, copies_of(content, *count, source));
    } else if (field == "pinned") {
      TRY(policy.pinned, names_of(content));
    } else if (source == Source::user) {
      return fail(Errc::invalid_argument, "policy: unknown field \"{}\"", std::string_view(field));
    }
  }
  return policy;
}

}  // namespace

Result<Policy> Policy::read(std::string_view json) {
  TRY(const auto object, object_in(json));
  return policy_in(object, Source::node);
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
  TRY(kept.policy, policy_in(object, Source::user));
  return kept;
}

std::string KeptPolicy::to_json() const {
  boost::json::object object = policy.json();
  if (revision) object["revision"] = *revision;
  return boost::json::serialize(object);
}

}  // namespace om::transfer
