#include "prompt/webp.h"

#include <webp/decode.h>
#include <zlib.h>

#include <memory>
#include <span>

#include "base/check.h"

namespace om::prompt {
namespace {

constexpr int kChannels = 3;
constexpr std::string_view kSignature("\x89PNG\r\n\x1a\n", 8);
// Eight bits a channel, true colour, deflate, filters by row, not interlaced.
constexpr std::string_view kKind("\x08\x02\x00\x00\x00", 5);

std::string big_endian(uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16),
          static_cast<char>(value >> 8), static_cast<char>(value)};
}

void append_chunk(std::string& png, std::string_view name, std::string_view data) {
  png += big_endian(static_cast<uint32_t>(data.size()));
  const size_t begin = png.size();
  png.append(name).append(data);
  const auto* bytes = reinterpret_cast<const Bytef*>(png.data() + begin);
  png += big_endian(static_cast<uint32_t>(crc32_z(0, bytes, png.size() - begin)));
}

// Rows without a filter: it is read once, on this machine, so that time counts and size does not.
std::string deflated(std::span<const uint8_t> pixels, size_t row_bytes) {
  std::string rows;
  rows.reserve(pixels.size() + pixels.size() / row_bytes);
  for (size_t at = 0; at < pixels.size(); at += row_bytes) {
    rows += '\0';
    rows.append(reinterpret_cast<const char*>(&pixels[at]), row_bytes);
  }
  uLongf size = compressBound(rows.size());
  std::string packed(size, '\0');
  const int done = compress2(reinterpret_cast<Bytef*>(packed.data()), &size,
                             reinterpret_cast<const Bytef*>(rows.data()), rows.size(), 1);
  CHECK(done == Z_OK);  // There is room, and memory that is out aborts.
  packed.resize(size);
  return packed;
}

}  // namespace

bool is_webp(std::string_view bytes) {
  return bytes.starts_with("RIFF") && bytes.substr(0, 12).ends_with("WEBP");
}

Result<std::string> png_of_webp(std::string_view bytes) {
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  WebPBitstreamFeatures features;
  if (WebPGetFeatures(data, bytes.size(), &features) != VP8_STATUS_OK) {
    return fail(Errc::invalid_argument, "a broken WebP image");
  }
  if (features.has_animation) {
    return fail(Errc::invalid_argument, "animated WebP images are not supported: send one frame");
  }
  const auto width = static_cast<size_t>(features.width);
  const auto height = static_cast<size_t>(features.height);
  if (width * height > kWebpPixelsMax) {
    return fail(Errc::invalid_argument, "a WebP image of {}x{} pixels: at most {} are read", width,
                height, kWebpPixelsMax);
  }
  int decoded_width = 0, decoded_height = 0;
  const std::unique_ptr<uint8_t, decltype(&WebPFree)> pixels(
      WebPDecodeRGB(data, bytes.size(), &decoded_width, &decoded_height), &WebPFree);
  if (!pixels) return fail(Errc::invalid_argument, "a broken WebP image");
  std::string png(kSignature);
  append_chunk(png, "IHDR",
               big_endian(static_cast<uint32_t>(width)) +
                   big_endian(static_cast<uint32_t>(height)) + std::string(kKind));
  const size_t row_bytes = width * kChannels;
  append_chunk(png, "IDAT", deflated({pixels.get(), row_bytes * height}, row_bytes));
  append_chunk(png, "IEND", "");
  return png;
}

}  // namespace om::prompt
