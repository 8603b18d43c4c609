// A conversation in llama-common's words. Throws what the library throws; private to the
// llama_*.cpp files of this room.
#pragma once

#include <chat.h>

#include "prompt/render.h"

namespace om::prompt::llama {

// std::invalid_argument: a tool_choice that cannot be met, or JSON that the library would read for
// too long (member_budget.h). Whatever the library throws at tools
// that are none.
common_chat_templates_inputs to_inputs(const ChatInput& input);

// False: the library must not see the tools' parameters as they are (schema_limits.h).
bool may_be_tried(const std::vector<boost::json::value>& tools);

// After the library refused them: gives it tools whose parameters it can make a grammar of. False
// when it can already, and something else was refused.
bool mend_tools(common_chat_templates_inputs& inputs);

}  // namespace om::prompt::llama
