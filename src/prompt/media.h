// Where images stand in a prompt. Private to this room.
#pragma once

#include <string>

#include "model/chat.h"

namespace om::prompt {

// The message's text with one marker per image: in place of "[img]" where the text has it, else in
// front. No marker, no images.
std::string with_media_markers(const model::Message& message, const std::string& marker);

// How many markers that put in.
size_t media_count(const std::vector<model::Message>& messages, const std::string& marker);

}  // namespace om::prompt
