// A conversation in llama-common's words. Throws what the library throws; private to the
// llama_*.cpp files of this room.
#pragma once

#include <chat.h>

#include "prompt/render.h"

namespace om::prompt::llama {

// std::invalid_argument: a tool_choice that cannot be met, or JSON that the library would read for
// too long (member_budget.h). Whatever the library throws at tools that are none.
// `read_results`: as reads_results() says of the template.
common_chat_templates_inputs to_inputs(const ChatInput& input, bool read_results);

// Whether the library reads the results of calls as JSON before it renders this template (its
// workaround for the older ones of Gemma 4).
bool reads_results(std::string_view text);

// False: the library must not see the tools' parameters as they are (schema_limits.h).
bool may_be_tried(const std::vector<boost::json::value>& tools);

// After the library refused them: gives it tools whose parameters it can make a grammar of. False
// when it can already, and something else was refused.
bool mend_tools(common_chat_templates_inputs& inputs);

}  // namespace om::prompt::llama
