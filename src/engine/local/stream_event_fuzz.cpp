// Any bytes a runner may send: no crash, the same events however they are sliced, and the fast
// scanner never disagrees with the full parser.

#include "base/check.h"
#include "engine/local/stream_event.h"

namespace {

std::string events_of(std::string_view stream, size_t slice) {
  om::engine::EventLines lines;
  std::string all;
  for (size_t at = 0; at < stream.size(); at += slice) {
    lines.buffer() += stream.substr(at, slice);
    while (true) {
      auto line = lines.next();
      if (!line) return all + "!";
      if (!*line) break;
      auto event = om::engine::read_stream_event(**line);
      if (!event) return all + "?";
      all += fmt::format("{}:{};", static_cast<int>(event->kind), event->text);
      auto scanned = om::engine::scan_token_event(**line);
      if (!scanned) continue;
      auto parsed = om::engine::parse_event(**line);
      CHECK(parsed && parsed->text == scanned->text && parsed->tokens == scanned->tokens &&
            parsed->predicted == scanned->predicted && parsed->evaluated == scanned->evaluated);
    }
  }
  return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view stream(reinterpret_cast<const char*>(data), size);
  CHECK(events_of(stream, size + 1) == events_of(stream, 7));
  return 0;
}
