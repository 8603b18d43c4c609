// Any bytes as a line of another node's record: refused, or written the same way again.
#include "base/check.h"
#include "engine/remote/wire.h"
#include "generation/chunk_wire.h"

namespace {

// Without the numbers of log probabilities: Boost.JSON reads some of the last digit (of those that
// no model gives) in another way, and -0.0 is written as a whole number.
std::string rewritten(const boost::json::object& line) {
  auto kept = om::generation::decode_chunk(line);
  for (auto& logprob : kept.chunk.logprobs) {
    logprob.logprob = 0;
    for (auto& alternative : logprob.top) alternative.logprob = 0;
  }
  std::string out;
  om::generation::append_chunk(out, kept.by, kept.chunk);
  CHECK(om::generation::are_chunks(out));
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto line =
      om::engine::parse_line(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!line) return 0;
  const std::string written = rewritten(*line);
  const auto parsed = om::engine::parse_line(written);
  CHECK(parsed.has_value());
  CHECK(rewritten(*parsed) == written);
  return 0;
}
