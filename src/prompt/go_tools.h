// Tools as Ollama's Go templates see them: what a template prints of one is what Go's encoding/json
// writes of Ollama's types (api.Tool and below), whatever order and further fields the request has.
// Not so: < > & stay as they are, and `{{ .Function }}` is JSON in all versions.
// Pure; any thread. Source: https://pkg.go.dev/github.com/ollama/ollama/api#Tool
#pragma once

#include <boost/json.hpp>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "prompt/value.h"

namespace om::prompt {

// Of a tool, which outlives it.
struct ToolFunction {
  std::string_view name;
  const boost::json::object* object = nullptr;
};
// invalid_argument: it has no function with a name.
Result<ToolFunction> function_of(const boost::json::value& tool);

// For `.Tools`. invalid_argument: as above, of any.
Result<Value> tools_value(const std::vector<boost::json::value>& tools);

}  // namespace om::prompt
