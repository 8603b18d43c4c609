// Any bytes as a line of another node's record: refused, or written the same way again.
#include "base/check.h"
#include "engine/remote/wire.h"
#include "generation/chunk_wire.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto line =
      om::engine::parse_line(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!line) return 0;
  const auto kept = om::generation::decode_chunk(*line);
  std::string written;
  om::generation::append_chunk(written, kept.by, kept.chunk);
  CHECK(om::generation::are_chunks(written));
  const auto parsed = om::engine::parse_line(written);
  CHECK(parsed.has_value());
  const auto again = om::generation::decode_chunk(*parsed);
  std::string rewritten;
  om::generation::append_chunk(rewritten, again.by, again.chunk);
  CHECK(rewritten == written);
  return 0;
}
