// A conversation in llama-common's words. Throws what the library throws; private to the
// llama_*.cpp files of this room.
#pragma once

#include <chat.h>

#include "prompt/render.h"

namespace om::prompt::llama {

// std::invalid_argument: a tool_choice that cannot be met. Whatever the library throws at tools
// that are none.
common_chat_templates_inputs to_inputs(const ChatInput& input);

}  // namespace om::prompt::llama
