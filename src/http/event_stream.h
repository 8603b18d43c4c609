// Streams of small messages over one body: server-sent events (WHATWG HTML, section 9.2) and JSON
// lines (one JSON text a line). Readers take bytes as they come, cut anywhere.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace om::http {

struct SseEvent {
  std::string event;  // Empty: "message".
  std::string data;   // Several data lines are joined by a line feed.
  std::string id;     // The last id seen, also of earlier events.
};

class SseReader {
 public:
  static constexpr size_t kEventBytesMax = 1 << 20;  // Of one line, and of one event's data.

  // Takes from the front of `input`. True: `event` is whole (its strings are reused for the
  // next one). False: all input was taken. overloaded: too long; the reader is of no more use.
  Result<bool> next(std::string_view& input, SseEvent& event);

 private:
  // One line without its end; true if it completes an event.
  Result<bool> take_line(std::string_view line, SseEvent& event);

  std::string partial_;  // A line whose end has not come.
  std::string data_, event_, id_;
  bool has_data_ = false, skip_line_feed_ = false, at_start_ = true;
};

// Takes JSON lines out of a body.
class NdjsonReader {
 public:
  static constexpr size_t kLineBytesMax = 16 << 20;

  explicit NdjsonReader(size_t line_bytes_max = kLineBytesMax) : line_bytes_max_(line_bytes_max) {}

  // As SseReader::next. Empty lines are skipped. `line` is good until the next call, and while
  // what `input` points to lives.
  Result<bool> next(std::string_view& input, std::string_view& line);
  // At the end of the body: a last line without a line feed; empty if there is none.
  std::string_view rest() const;

 private:
  size_t line_bytes_max_;
  std::string partial_;
  bool given_ = false;  // `partial_` was answered as a whole line.
};

}  // namespace om::http
