// Parts of a resource (RFC 9110 section 14) and files as responses.
#pragma once

#include <string_view>

#include "http/server.h"

namespace om::http {

struct ByteRange {
  uint64_t offset = 0, length = 0;
  auto operator<=>(const ByteRange&) const = default;
};

enum class RangeKind {
  whole,          // No Range header, or one to be ignored: malformed, another unit, several ranges.
  part,           // `range` is set: answer 206.
  unsatisfiable,  // Answer 416 with `Content-Range: bytes */size`.
};

struct RangeAnswer {
  RangeKind kind = RangeKind::whole;
  ByteRange range;
};

RangeAnswer parse_range(std::string_view header, uint64_t size);

// What send_file() needs. Borrowed by it.
struct FileToSend {
  io::Path path;
  std::string content_type = "application/octet-stream";
  std::string etag;  // With its quotes; empty: none, and If-Range never matches.
};

// Answers a GET or HEAD for a file: 200, 206, 416, or 304 for a matching If-None-Match. Reads on
// the workers, so that a slow disk holds up nobody else. not_found and io_failed come before
// anything was sent, so that the caller can answer them; unavailable and cancelled mean the client
// is gone; io_failed after started() means the file broke under us and the connection is closed.
io::Task<Result<void>> send_file(io::World& world, const Request& request, ResponseWriter& response,
                                 FileToSend file);

}  // namespace om::http
