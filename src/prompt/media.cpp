#include "prompt/media.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>

namespace om::prompt {
namespace {

constexpr size_t kNamesMax = 256;  // Each may bring a copy of an image.

std::string with_markers_in_place(const model::Message& message, std::string_view marker) {
  std::string text;
  size_t from = 0;
  for (const size_t place : message.image_places) {
    const size_t to = std::clamp(place, from, message.content.size());
    text.append(message.content, from, to - from).append(marker);
    from = to;
  }
  return text.append(message.content, from);
}

}  // namespace

std::string with_media_markers(const model::Message& message, const std::string& marker) {
  if (marker.empty() || message.images.empty()) return message.content;
  if (message.image_places.size() == message.images.size()) {
    return with_markers_in_place(message, marker);
  }
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

Result<std::vector<std::string>> place_named_media(std::string& prompt, std::string_view marker,
                                                   std::vector<std::string> images) {
  constexpr std::string_view kBegin = "[img-";
  std::vector<std::string> ordered;
  std::vector<bool> named(images.size());
  for (size_t place = prompt.find(kBegin); place != std::string::npos;
       place = prompt.find(kBegin, place)) {
    size_t number = 0;
    const char* digits = prompt.data() + place + kBegin.size();
    const auto read = std::from_chars(digits, prompt.data() + prompt.size(), number);
    if (read.ec == std::errc::invalid_argument || *read.ptr != ']') {
      place += kBegin.size();
      continue;
    }
    if (read.ec != std::errc{} || number >= images.size()) {
      return fail(Errc::invalid_argument, "the prompt names an image that did not come: {}...",
                  prompt.substr(place, kBegin.size() + 8));
    }
    if (ordered.size() >= kNamesMax) {
      return fail(Errc::invalid_argument, "the prompt names images more than {} times", kNamesMax);
    }
    const size_t size = static_cast<size_t>(read.ptr + 1 - digits) + kBegin.size();
    prompt.replace(place, size, marker);
    place += marker.size();
    ordered.push_back(images[number]);
    named[number] = true;
  }
  std::vector<std::string> all;
  for (size_t i = 0; i < images.size(); i++) {
    if (named[i]) continue;
    prompt.insert(0, marker);
    all.push_back(std::move(images[i]));
  }
  std::ranges::move(ordered, std::back_inserter(all));
  return all;
}

Result<void> settle_media(std::string& prompt, std::string_view marker, size_t images) {
  if (images == 0) return {};
  if (marker.empty()) return fail(Errc::unsupported, "the runner takes no images");
  size_t count = 0;
  size_t end = std::string::npos;  // Of the marker before.
  for (size_t place = prompt.find(marker); place != std::string::npos;
       place = prompt.find(marker, end)) {
    if (place == end) prompt.insert(place++, 1, '\n');
    count++;
    end = place + marker.size();
  }
  if (end == prompt.size()) prompt += '\n';
  if (count == images) return {};
  return fail(Errc::invalid_argument, "the model's template has places for {} images, and {} came",
              count, images);
}

std::string with_named_media(std::string prompt, std::string_view marker) {
  if (marker.empty()) return prompt;
  size_t number = 0;
  for (size_t place = prompt.find(marker); place != std::string::npos;
       place = prompt.find(marker, place)) {
    const std::string name = fmt::format("[img-{}]", number++);
    prompt.replace(place, marker.size(), name);
    place += name.size();
  }
  return prompt;
}

void replace_media_markers(std::string& prompt, std::string_view from, std::string_view to) {
  if (from == to || from.empty()) return;
  for (size_t place = prompt.find(from); place != std::string::npos;
       place = prompt.find(from, place + to.size())) {
    prompt.replace(place, from.size(), to);
  }
}

}  // namespace om::prompt
