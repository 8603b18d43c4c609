// The call that must come of a Go template's model (tool_choice): how the template writes calls,
// and the grammar of one. Private to this room.
#pragma once

#include <boost/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/chat.h"

namespace om::prompt {

// What stands around the name and the arguments of a call.
struct CallShape {
  std::string before_name, before_arguments, behind;
};

// A conversation in which a tool is called, to be rendered by the template.
std::vector<model::Message> conversation_with_call();
// As the call stands in that conversation; if it is not found there, or its arguments are not JSON,
// a JSON object behind the tag (GoTemplate::tool_call_tag), which ToolScanner finds too.
CallShape call_shape(std::string_view rendered, std::string_view tag);

// One call of one of the tools that `tool_choice` ("required" or a name) admits, with a rule
// "root". invalid_argument: it admits none, or the parameters of one are no JSON schema.
Result<std::string> forced_call_grammar(const CallShape& shape,
                                        const std::vector<boost::json::value>& tools,
                                        std::string_view tool_choice);

}  // namespace om::prompt
