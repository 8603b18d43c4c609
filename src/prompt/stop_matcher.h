// Finds stop strings in streamed text, also over the seams of pieces and of runners.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace om::prompt {

inline constexpr size_t kStopStringsMax = 64;
inline constexpr size_t kStopStringBytesMax = 1024;

// Holds back the shortest tail that could still become a stop string or is an unfinished UTF-8
// character. Empty, overlong and too many stop strings are ignored. Not thread-safe.
class StopMatcher {
 public:
  explicit StopMatcher(std::vector<std::string> stops = {});

  struct Output {
    std::string text;                 // Safe to give out.
    std::optional<std::string> stop;  // The stop string found; text ends before it.
  };
  // After a stop was found further text is swallowed.
  Output feed(std::string_view piece);
  // The answer ended without a stop string: the rest, a broken character replaced by U+FFFD.
  std::string finish();
  size_t held_bytes() const { return held_.size(); }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  bool stopped_ = false;
};

// Bytes at the end of `text` that begin a UTF-8 character without ending it (0 to 3).
size_t incomplete_utf8_tail(std::string_view text);

}  // namespace om::prompt
