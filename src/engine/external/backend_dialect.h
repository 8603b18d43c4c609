// What a server of OpenAI's API does not take, learned from its refusals: reasoning models want
// another name for the limit of tokens, and not every model takes every effort.
#pragma once

#include <set>
#include <string>

#include "base/result.h"
#include "engine/external/external_bodies.h"

namespace om::engine {

// Of one server. Plain value.
class BackendDialect {
 public:
  // The request as the server takes it, as far as that is known.
  UpstreamRequest adapt(UpstreamRequest request) const;
  // Whether `refusal` is about something that adapt() does to the request from now on.
  bool learn(const UpstreamRequest& request, const Error& refusal);

 private:
  bool wants_completion_tokens_ = false;
  std::set<std::string> efforts_refused_;  // "EFFORT MODEL"
};

}  // namespace om::engine
