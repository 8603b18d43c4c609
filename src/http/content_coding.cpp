#include "http/content_coding.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <memory>
#include <vector>

#include "base/check.h"
#include "base/strings.h"

namespace om::http {
namespace {

constexpr size_t kStepBytes = 64 * 1024;
constexpr size_t kGzipBytesMin = 1400;     // Below it fits one packet anyway.
constexpr size_t kGzipBytesMax = 1 << 20;  // Above it would hold up the io thread.

std::unexpected<Error> too_large(uint64_t size_max) {
  return fail(Errc::overloaded, "the decoded body is larger than {} bytes", size_max);
}

// gzip, and what is called deflate: zlib tells them apart by the header (window bits + 32).
Result<std::string> inflate_all(std::string_view data, uint64_t size_max) {
  z_stream stream{};
  if (inflateInit2(&stream, 15 + 32) != Z_OK) return fail(Errc::internal, "zlib: out of memory");
  const std::unique_ptr<z_stream, int (*)(z_stream*)> guard(&stream, inflateEnd);
  std::string out;
  std::array<char, kStepBytes> step;
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
  stream.avail_in = static_cast<uInt>(std::min<size_t>(data.size(), UINT32_MAX));
  while (true) {
    stream.next_out = reinterpret_cast<Bytef*>(step.data());
    stream.avail_out = step.size();
    const int status = inflate(&stream, Z_NO_FLUSH);
    if (status != Z_OK && status != Z_STREAM_END) {
      return fail(Errc::invalid_argument, "broken or cut gzip data in the body");
    }
    const size_t made = step.size() - stream.avail_out;
    if (out.size() + made > size_max) return too_large(size_max);
    out.append(step.data(), made);
    if (status != Z_STREAM_END) continue;
    if (stream.avail_in == 0) return out;
    // A gzip file may have several members (RFC 1952 section 2.2).
    if (inflateReset(&stream) != Z_OK) return fail(Errc::internal, "zlib cannot start again");
  }
}

Result<std::string> zstd_all(std::string_view data, uint64_t size_max) {
  const std::unique_ptr<ZSTD_DStream, size_t (*)(ZSTD_DStream*)> stream(ZSTD_createDStream(),
                                                                        ZSTD_freeDStream);
  CHECK(stream != nullptr);
  // A frame may ask for a window of gigabytes; RFC 8878 section 3.1.1.1.2 suggests 8 MiB.
  ZSTD_DCtx_setParameter(stream.get(), ZSTD_d_windowLogMax, 23);
  std::string out;
  std::vector<char> step(kStepBytes);
  ZSTD_inBuffer in{data.data(), data.size(), 0};
  size_t left = 1;
  while (true) {
    ZSTD_outBuffer piece{step.data(), step.size(), 0};
    left = ZSTD_decompressStream(stream.get(), &piece, &in);
    if (ZSTD_isError(left)) return fail(Errc::invalid_argument, "broken zstd data in the body");
    if (out.size() + piece.pos > size_max) return too_large(size_max);
    out.append(step.data(), piece.pos);
    if (in.pos == in.size && piece.pos < piece.size) break;
  }
  if (left != 0) return fail(Errc::invalid_argument, "cut zstd data in the body");
  return out;
}

Result<std::string> decode_one(std::string_view coding, std::string_view data, uint64_t size_max) {
  if (iequals(coding, "identity")) return std::string(data);
  if (iequals(coding, "zstd")) return zstd_all(data, size_max);
  if (iequals(coding, "gzip") || iequals(coding, "x-gzip") || iequals(coding, "deflate")) {
    return inflate_all(data, size_max);
  }
  return fail(Errc::unsupported, "the content encoding '{}' is not supported", coding);
}

// The weight of `coding` in one element "gzip;q=0.5"; negative: another coding.
double weight_of(std::string_view element, std::string_view coding) {
  const size_t semicolon = element.find(';');
  if (!iequals(trim_ows(element.substr(0, semicolon)), coding)) return -1;
  if (semicolon == std::string_view::npos) return 1;
  std::string_view parameter = trim_ows(element.substr(semicolon + 1));
  if (parameter.size() < 3 || (parameter[0] != 'q' && parameter[0] != 'Q') || parameter[1] != '=') {
    return 0;
  }
  parameter.remove_prefix(2);
  double weight = 0;
  const auto parsed =
      std::from_chars(parameter.data(), parameter.data() + parameter.size(), weight);
  return parsed.ec == std::errc{} ? weight : 0;
}

bool compressible(std::string_view content_type) {
  const std::string_view type = trim_ows(content_type.substr(0, content_type.find(';')));
  return type.starts_with("text/") || type == "application/json" || type == "application/yaml" ||
         type == "application/javascript" || type == "image/svg+xml";
}

}  // namespace

Result<std::string> decode_content(std::string_view coding, std::string_view data,
                                   uint64_t size_max) {
  const size_t comma = coding.rfind(',');
  if (comma == std::string_view::npos) return decode_one(trim_ows(coding), data, size_max);
  // The last one was applied last. More than two is nothing an honest client does.
  const std::string_view first = trim_ows(coding.substr(0, comma));
  if (first.find(',') != std::string_view::npos) {
    return fail(Errc::unsupported, "more than two content encodings");
  }
  TRY(const std::string inner, decode_one(trim_ows(coding.substr(comma + 1)), data, size_max));
  return decode_one(first, inner, size_max);
}

bool accepts_gzip(const Headers& request_headers) {
  double gzip = -1, any = -1;
  for (const auto& [name, value] : request_headers) {
    if (!iequals(name, "Accept-Encoding")) continue;
    std::string_view rest = value;
    while (!rest.empty()) {
      const size_t comma = rest.find(',');
      const std::string_view element = rest.substr(0, comma);
      gzip = std::max(gzip, weight_of(element, "gzip"));
      any = std::max(any, weight_of(element, "*"));
      rest = comma == std::string_view::npos ? std::string_view{} : rest.substr(comma + 1);
    }
  }
  return gzip >= 0 ? gzip > 0 : any > 0;
}

std::optional<std::string> gzip_if_useful(const Headers& request_headers,
                                          std::string_view content_type, std::string_view body) {
  if (body.size() < kGzipBytesMin || body.size() > kGzipBytesMax) return std::nullopt;
  if (!compressible(content_type) || !accepts_gzip(request_headers)) return std::nullopt;
  z_stream stream{};
  // Level 4: most of the gain for a third of the time of the default.
  if (deflateInit2(&stream, 4, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
    return std::nullopt;
  }
  const std::unique_ptr<z_stream, int (*)(z_stream*)> guard(&stream, deflateEnd);
  std::string out(deflateBound(&stream, body.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(body.data()));
  stream.avail_in = static_cast<uInt>(body.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  if (deflate(&stream, Z_FINISH) != Z_STREAM_END) return std::nullopt;
  out.resize(stream.total_out);
  if (out.size() >= body.size()) return std::nullopt;
  return out;
}

}  // namespace om::http
