// Any bytes as an event stream and as JSON lines: the same messages however they are cut.
#include "base/check.h"
#include "http/event_stream.h"

namespace om::http {
namespace {

std::string read_events(std::string_view bytes, size_t slice) {
  SseReader reader;
  SseEvent event;
  std::string log;
  for (size_t at = 0; at < bytes.size(); at += slice) {
    std::string_view input = bytes.substr(at, slice);
    while (true) {
      const auto whole = reader.next(input, event);
      if (!whole) return log + "failed";
      if (!*whole) break;
      log += fmt::format("[{}|{}|{}]", event.event, event.id, event.data);
    }
    CHECK(input.empty());
  }
  return log;
}

std::string read_lines(std::string_view bytes, size_t slice) {
  NdjsonReader reader(100);
  std::string log;
  for (size_t at = 0; at < bytes.size(); at += slice) {
    std::string_view input = bytes.substr(at, slice), line;
    while (true) {
      const auto whole = reader.next(input, line);
      if (!whole) return log + "failed";
      if (!*whole) break;
      CHECK(!line.empty() && line.size() <= 100);
      log.append("[").append(line).append("]");
    }
  }
  return log.append(reader.rest());
}

}  // namespace
}  // namespace om::http

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::string events = om::http::read_events(bytes, size + 1);
  const std::string lines = om::http::read_lines(bytes, size + 1);
  for (const size_t slice : {1, 2, 7, 69}) {
    CHECK(om::http::read_events(bytes, slice) == events);
    CHECK(om::http::read_lines(bytes, slice) == lines);
  }
  return 0;
}
