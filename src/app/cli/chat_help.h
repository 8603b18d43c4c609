// The help texts of the interactive chat.
#pragma once

#include <string>
#include <string_view>

namespace om::app {

// `topic`: "", "set", "set-parameter", "show" or "shortcuts".
std::string chat_help(std::string_view topic);

}  // namespace om::app
