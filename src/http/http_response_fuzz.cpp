// Any bytes as a server's answer: the same head and body however they are cut.
#include "base/check.h"
#include "http/chunked.h"
#include "http/content_coding.h"
#include "http/head.h"
#include "http/range.h"

namespace om::http {
namespace {

std::string read(std::string_view bytes, size_t slice) {
  HeadScanner scanner{HeadLimits{}};
  size_t length = 0, arrived = 0;
  while (length == 0 && arrived < bytes.size() && !scanner.refused()) {
    arrived = std::min(bytes.size(), arrived + slice);
    length = scanner.scan(bytes.substr(0, arrived));
  }
  if (length == 0) return "none";
  ResponseHead head;
  if (parse_response_head(bytes.substr(0, length), HeadLimits{}, head)) return "refused";
  std::string log = fmt::format("{} {} {}\n", head.status, head.length, head.headers.size());
  ChunkDecoder decoder;
  for (size_t at = length; at < bytes.size(); at += slice) {
    std::string_view input = bytes.substr(at, slice);
    while (!input.empty() && !decoder.done() && !decoder.failed()) log += decoder.next(input);
  }
  log += decoder.failed() ? "broken" : decoder.done() ? "whole" : "cut";
  return log;
}

}  // namespace
}  // namespace om::http

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace om::http;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::string whole = read(bytes, size + 1);
  for (const size_t slice : {1, 2, 7, 69}) CHECK(read(bytes, slice) == whole);
  constexpr uint64_t kLimit = 1 << 16;
  for (const auto* coding : {"gzip", "zstd", "gzip, zstd"}) {
    const auto decoded = decode_content(coding, bytes, kLimit);
    CHECK(!decoded || decoded->size() <= kLimit);
  }
  const RangeAnswer range = parse_range(bytes, 1000);
  if (range.kind == RangeKind::part) {
    CHECK(range.range.length > 0 && range.range.offset < 1000 &&
          range.range.length <= 1000 - range.range.offset);
  }
  // What was taken apart and put together again is the same URL.
  if (const auto url = Url::parse(bytes)) {
    const auto again = Url::parse(url->str());
    CHECK(again.has_value() && again->str() == url->str());
  }
  return 0;
}
