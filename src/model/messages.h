// The messages layer of a model: turns that go before those of every chat.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/chat.h"

namespace om::model {

// Ollama's JSON list with a newline; images as base64.
std::string messages_to_json(const std::vector<Message>& messages);

// corrupt: not a list of messages, or an image that is no base64.
Result<std::vector<Message>> parse_messages(std::string_view json);

}  // namespace om::model
