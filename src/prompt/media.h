// Where images stand in a prompt: a runner takes a marker for each of them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/chat.h"

namespace om::prompt {

// The message's text with one marker per image: where the message says that it stands; if it does
// not, in place of "[img]" where the text has it, else in front. No marker, no images.
std::string with_media_markers(const model::Message& message, const std::string& marker);

// A raw prompt names its images itself: "[img-0]" is the first one. Puts markers there, and in
// front for those that it does not name; the images in the order of their markers.
// invalid_argument: it names one that did not come, or names too often.
Result<std::vector<std::string>> place_named_media(std::string& prompt, std::string_view marker,
                                                   std::vector<std::string> images);

// Before a prompt with `images` markers goes to a runner: a line's end comes between two images in
// a row, as in llama-server's own templates, and behind one that is the last. It could not keep the
// first of two of a cached prompt without the second, and would answer nothing at that slot any
// more (server_tokens::keep_first); it aborts where no text follows (update_slots).
// invalid_argument: the template left images out. unsupported: no marker.
Result<void> settle_media(std::string& prompt, std::string_view marker, size_t images);

// A prompt for people: with names as above.
std::string with_named_media(std::string prompt, std::string_view marker);

// The same prompt for a runner that has another marker.
void replace_media_markers(std::string& prompt, std::string_view from, std::string_view to);

}  // namespace om::prompt
