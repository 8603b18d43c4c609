// How many copies of a model the cluster keeps, and where. Pure values.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace om::transfer {

inline constexpr int kCopiesMax = 1000;
inline constexpr size_t kPinnedMax = 1000;

// Kept as JSON: {"factor":2,"minimum":1,"pinned":["a"],"popular_extra_max":2}
struct Policy {
  int factor = 2;                   // Copies wanted; as many as there are nodes if those are fewer.
  int minimum = 1;                  // With fewer the model is reported as in danger.
  std::vector<std::string> pinned;  // Sorted. Nodes that have a copy in any case.
  int popular_extra_max = 2;        // Further copies while it is popular.

  // Reads a policy that some node wrote, maybe a newer one: skips unknown fields and brings numbers
  // within their bounds. invalid_argument: malformed.
  static Result<Policy> read(std::string_view json);
  boost::json::object json() const;
  std::string to_json() const { return boost::json::serialize(json()); }
  bool operator==(const Policy&) const = default;

  // `popularity`: how many more copies its users could keep busy.
  int copies_wanted(int popularity) const;
};

// A policy and the revision of its last change, so that two users do not overwrite each other's
// changes. As JSON: the policy's members and "revision".
struct KeptPolicy {
  Policy policy;
  // 0: none is kept, this is the default. nullopt in a change: whatever is kept is replaced.
  std::optional<int64_t> revision = {};

  // Reads a user's input. invalid_argument: malformed, unknown fields, numbers out of bounds.
  static Result<KeptPolicy> parse(std::string_view json);
  std::string to_json() const;
};

}  // namespace om::transfer
