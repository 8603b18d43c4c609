#include "http/range.h"

#include <algorithm>
#include <charconv>

namespace om::http {
namespace {

bool parse_number(std::string_view text, uint64_t& number) {
  if (text.empty() || text[0] < '0' || text[0] > '9') return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size();
}

bool matches_etag(std::string_view header, std::string_view etag) {
  if (header.empty() || etag.empty()) return false;
  return trim(header) == "*" || header.find(etag) != std::string_view::npos;
}

}  // namespace

RangeAnswer parse_range(std::string_view header, uint64_t size) {
  if (header.size() < 6 || !equal_ignoring_case(header.substr(0, 6), "bytes=")) return {};
  const std::string_view spec = trim(header.substr(6));
  const size_t dash = spec.find('-');
  if (dash == std::string_view::npos || spec.find(',') != std::string_view::npos) return {};
  const std::string_view first = trim(spec.substr(0, dash)), last = trim(spec.substr(dash + 1));
  uint64_t from = 0, to = 0;
  if (first.empty()) {  // The last `to` bytes.
    if (!parse_number(last, to)) return {};
    if (to == 0 || size == 0) return {RangeKind::unsatisfiable, {}};
    to = std::min(to, size);
    return {RangeKind::part, {size - to, to}};
  }
  if (!parse_number(first, from)) return {};
  if (last.empty()) {
    to = UINT64_MAX;
  } else if (!parse_number(last, to) || to < from) {
    return {};
  }
  if (from >= size) return {RangeKind::unsatisfiable, {}};
  to = std::min(to, size - 1);
  return {RangeKind::part, {from, to - from + 1}};
}

io::Task<Result<void>> send_file(io::World& world, const Request& request, ResponseWriter& response,
                                 FileToSend file) {
  using Open = io::Filesystem::Open;
  auto open = [&files = world.files, &path = file.path] { return files.open(path, Open::read); };
  CO_TRY(const auto opened, co_await world.workers.run(std::move(open)));
  CO_TRY(const uint64_t size, opened->size());
  if (!file.etag.empty()) response.headers().set("ETag", file.etag);
  response.headers().set("Accept-Ranges", "bytes");
  if (matches_etag(request.headers.get("If-None-Match"), file.etag)) {
    co_return co_await response.send(304, "", "");
  }
  RangeAnswer answer = parse_range(request.headers.get("Range"), size);
  // If-Range: the part is only of use if the rest the client has is of the same file.
  const std::string_view if_range = request.headers.get("If-Range");
  if (!if_range.empty() && (file.etag.empty() || if_range != file.etag)) answer = {};
  if (request.method != "GET") answer = {};
  if (answer.kind == RangeKind::unsatisfiable) {
    response.headers().set("Content-Range", fmt::format("bytes */{}", size));
    co_return co_await response.send(416, "text/plain", "the range is outside the file\n");
  }
  ByteRange range{0, size};
  int status = 200;
  if (answer.kind == RangeKind::part) {
    range = answer.range;
    status = 206;
    response.headers().set("Content-Range", fmt::format("bytes {}-{}/{}", range.offset,
                                                        range.offset + range.length - 1, size));
  }
  CO_TRY_VOID(co_await response.start(status, file.content_type, range.length));
  if (request.method == "HEAD") co_return co_await response.finish();
  CO_TRY_VOID(co_await response.write_file(world.workers, *opened, range.offset, range.length));
  co_return co_await response.finish();
}

}  // namespace om::http
