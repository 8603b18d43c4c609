#include "prompt/stop_matcher.h"

#include <algorithm>

namespace om::prompt {

namespace {

// Length of the longest proper prefix of `stop` that `text` ends with.
size_t partial_match(std::string_view text, std::string_view stop) {
  for (size_t length = std::min(text.size(), stop.size() - 1); length > 0; --length) {
    if (text.ends_with(stop.substr(0, length))) return length;
  }
  return 0;
}

}  // namespace

size_t incomplete_utf8_tail(std::string_view text) {
  for (size_t back = 1; back <= std::min<size_t>(3, text.size()); ++back) {
    auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xC0) == 0x80) continue;
    size_t length = byte >= 0xF0 && byte < 0xF8 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC2 ? 2 : 1;
    if (byte >= 0xF8) length = 1;
    return back < length ? back : 0;
  }
  return 0;
}

StopMatcher::StopMatcher(std::vector<std::string> stops) : stops_(std::move(stops)) {
  std::erase_if(stops_, [](const std::string& stop) {
    return stop.empty() || stop.size() > kStopStringBytesMax;
  });
  if (stops_.size() > kStopStringsMax) stops_.resize(kStopStringsMax);
}

StopMatcher::Output StopMatcher::feed(std::string_view piece) {
  if (stopped_) return {};
  if (stops_.empty() && held_.empty() && incomplete_utf8_tail(piece) == 0) {
    return {std::string(piece), std::nullopt};  // Nothing to look for: the common case.
  }
  held_ += piece;
  // The stop string that is complete first ends the answer, and of two that end at one place the
  // one that begins earlier: so the outcome does not depend on how the text was sliced.
  size_t end = held_.npos;
  const std::string* found = nullptr;
  for (const std::string& stop : stops_) {
    size_t at = held_.find(stop);
    if (at == held_.npos) continue;
    size_t this_end = at + stop.size();
    if (this_end < end || (this_end == end && stop.size() > found->size())) {
      end = this_end;
      found = &stop;
    }
  }
  if (found) {
    stopped_ = true;
    return {std::exchange(held_, {}).substr(0, end - found->size()), *found};
  }
  size_t hold = 0;
  for (const std::string& stop : stops_) hold = std::max(hold, partial_match(held_, stop));
  hold = std::max(hold, incomplete_utf8_tail(held_));
  Output output{held_.substr(0, held_.size() - hold), std::nullopt};
  held_.erase(0, held_.size() - hold);
  return output;
}

std::string StopMatcher::finish() {
  size_t broken = incomplete_utf8_tail(held_);
  std::string rest = std::exchange(held_, {});
  if (broken > 0) rest.replace(rest.size() - broken, broken, "\uFFFD");
  return rest;
}

}  // namespace om::prompt
