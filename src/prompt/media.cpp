#include "prompt/media.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>

#include "base/strings.h"

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

// With `word` replaced by what `next` gives each time, in one pass over the text: a prompt may have
// thousands of places.
template <class Next>
std::string with_replaced(std::string_view text, std::string_view word, Next next) {
  std::string out;
  size_t from = 0;
  for (size_t place = text.find(word); place != text.npos; place = text.find(word, from)) {
    out.append(text, from, place - from).append(next());
    from = place + word.size();
  }
  return out.append(text, from);
}

void put_in_front(std::string& text, std::string_view marker, size_t times) {
  std::string front;
  for (size_t i = 0; i < times; ++i) front += marker;
  text.insert(0, front);
}

}  // namespace

std::string with_media_markers(const model::Message& message, const std::string& marker) {
  if (marker.empty() || message.images.empty()) return message.content;
  if (message.image_places.size() == message.images.size()) {
    return with_markers_in_place(message, marker);
  }
  constexpr std::string_view kPlace = "[img]";
  size_t left = message.images.size();
  std::string text = with_replaced(message.content, kPlace, [&]() -> std::string_view {
    if (left == 0) return kPlace;
    --left;
    return marker;
  });
  put_in_front(text, marker, left);
  return text;
}

Result<std::vector<std::string>> place_named_media(std::string& prompt, std::string_view marker,
                                                   std::vector<std::string> images) {
  constexpr std::string_view kBegin = "[img-";
  std::vector<std::string> ordered;
  std::vector<bool> named(images.size());
  std::string placed;
  size_t from = 0;  // What is before is in `placed`.
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
    placed.append(prompt, from, place - from).append(marker);
    place = from = static_cast<size_t>(read.ptr + 1 - prompt.data());
    ordered.push_back(images[number]);
    named[number] = true;
  }
  prompt = std::move(placed.append(prompt, from));
  std::vector<std::string> all;
  for (size_t i = 0; i < images.size(); i++) {
    if (!named[i]) all.push_back(std::move(images[i]));
  }
  put_in_front(prompt, marker, all.size());
  std::ranges::move(ordered, std::back_inserter(all));
  return all;
}

Result<void> settle_media(std::string& prompt, std::string_view marker, size_t images) {
  if (images == 0) return {};
  if (marker.empty()) return fail(Errc::unsupported, "the runner takes no images");
  size_t count = 0;
  size_t end = 0;  // Of the marker before.
  std::string settled;
  for (size_t place = prompt.find(marker); place != std::string::npos;
       place = prompt.find(marker, end)) {
    settled.append(prompt, end, place - end);
    if (count > 0 && place == end) settled += '\n';
    settled += marker;
    count++;
    end = place + marker.size();
  }
  settled.append(prompt, end);
  if (count > 0 && end == prompt.size()) settled += '\n';
  prompt = std::move(settled);
  if (count == images) return {};
  return fail(Errc::invalid_argument, "the model's template has places for {} images, and {} came",
              count, images);
}

std::string with_named_media(std::string prompt, std::string_view marker) {
  if (marker.empty()) return prompt;
  size_t number = 0;
  return with_replaced(prompt, marker, [&] { return fmt::format("[img-{}]", number++); });
}

void replace_media_markers(std::string& prompt, std::string_view from, std::string_view to) {
  if (from != to) prompt = replace_all(prompt, from, to);
}

}  // namespace om::prompt
