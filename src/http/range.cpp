#include "http/range.h"

#include <algorithm>

#include "base/strings.h"

namespace om::http {
namespace {

bool matches_etag(std::string_view header, std::string_view etag) {
  if (header.empty() || etag.empty()) return false;
  return trim_ows(header) == "*" || header.find(etag) != std::string_view::npos;
}

}  // namespace

RangeAnswer parse_range(std::string_view header, uint64_t size) {
  if (header.size() < 6 || !iequals(header.substr(0, 6), "bytes=")) return {};
  const std::string_view spec = trim_ows(header.substr(6));
  const size_t dash = spec.find('-');
  if (dash == std::string_view::npos || spec.find(',') != std::string_view::npos) return {};
  const std::string_view first = trim_ows(spec.substr(0, dash)),
                         last = trim_ows(spec.substr(dash + 1));
  const auto from = parse_number<uint64_t>(first), to = parse_number<uint64_t>(last);
  if (first.empty()) {  // The last `to` bytes.
    if (!to) return {};
    if (*to == 0 || size == 0) return {RangeKind::unsatisfiable, {}};
    const uint64_t length = std::min(*to, size);
    return {RangeKind::part, {size - length, length}};
  }
  if (!from || (!last.empty() && (!to || *to < *from))) return {};
  if (*from >= size) return {RangeKind::unsatisfiable, {}};
  const uint64_t end = std::min(to.value_or(UINT64_MAX), size - 1);
  return {RangeKind::part, {*from, end - *from + 1}};
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
