// What a server of OpenAI's API refuses, learned from its refusals: reasoning models want another
// name for the limit of tokens, and not every model takes every effort.
#pragma once

#include <set>
#include <string>

#include "base/result.h"
#include "engine/external/external_bodies.h"

namespace om::engine {

// Of one server. Plain value.
class BackendDialect {
 public:
  // The request as the server takes it, as far as known.
  UpstreamRequest adapt(UpstreamRequest request) const;
  // Learns from a refusal. True: from now on adapt() changes such a request: try again.
  bool learn(const UpstreamRequest& request, const Error& refusal);

 private:
  bool wants_completion_tokens_ = false;
  std::set<std::string> efforts_refused_;  // "EFFORT MODEL"
};

}  // namespace om::engine
