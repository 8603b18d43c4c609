// Tools as Ollama's Go templates see them: what a template prints of one is what Go's encoding/json
// writes of Ollama's types (api.Tool and below), whatever order and further fields the request has.
// Not so: < > & stay as they are, and `{{ .Function }}` is JSON in all versions.
// Pure; any thread. Source: https://pkg.go.dev/github.com/ollama/ollama/api#Tool
#pragma once

#include <boost/json.hpp>
#include <vector>

#include "base/result.h"
#include "prompt/value.h"

namespace om::prompt {

// For `.Tools`. invalid_argument: one has no function with a name.
Result<Value> tools_value(const std::vector<boost::json::value>& tools);

}  // namespace om::prompt
