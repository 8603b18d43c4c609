#include "prompt/media.h"

namespace om::prompt {

std::string with_media_markers(const model::Message& message, const std::string& marker) {
  if (marker.empty() || message.images.empty()) return message.content;
  constexpr std::string_view kPlace = "[img]";
  std::string front;
  std::string text = message.content;
  size_t from = 0;
  for (size_t i = 0; i < message.images.size(); ++i) {
    size_t place = text.find(kPlace, from);
    if (place == std::string::npos) {
      front += marker;
      continue;
    }
    text.replace(place, kPlace.size(), marker);
    from = place + marker.size();
  }
  return front + text;
}

size_t media_count(const std::vector<model::Message>& messages, const std::string& marker) {
  size_t count = 0;
  if (marker.empty()) return count;
  for (const auto& message : messages) count += message.images.size();
  return count;
}

}  // namespace om::prompt
