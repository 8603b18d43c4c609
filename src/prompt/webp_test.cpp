#include "prompt/webp.h"

#include <gtest/gtest.h>
#include <webp/encode.h>
#include <zlib.h>

#include <array>

namespace om::prompt {
namespace {

constexpr int kWidth = 3, kHeight = 2;
constexpr std::array<uint8_t, kWidth * kHeight * 3> kPixels = {
    255, 0, 0, 0, 255, 0, 0, 0, 255, 10, 20, 30, 40, 50, 60, 70, 80, 90};

std::string as_webp(const uint8_t* pixels, int width, int height) {
  uint8_t* out = nullptr;
  const size_t size = WebPEncodeLosslessRGB(pixels, width, height, width * 3, &out);
  std::string bytes(reinterpret_cast<const char*>(out), size);
  WebPFree(out);
  return bytes;
}

uint32_t number_at(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; i++) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

TEST(Webp, BecomesAPngOfTheSamePixels) {
  const std::string webp = as_webp(kPixels.data(), kWidth, kHeight);
  ASSERT_TRUE(is_webp(webp));
  const auto png = png_of_webp(webp);
  ASSERT_TRUE(png) << png.error().what;
  EXPECT_EQ(png->substr(0, 16), std::string("\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 16));
  EXPECT_EQ(number_at(*png, 16), kWidth);
  EXPECT_EQ(number_at(*png, 20), kHeight);
  const size_t data = 33;  // After the signature and IHDR.
  const uint32_t size = number_at(*png, data);
  ASSERT_EQ(png->substr(data + 4, 4), "IDAT");
  const auto* chunk = reinterpret_cast<const Bytef*>(png->data() + data + 4);
  EXPECT_EQ(number_at(*png, data + 8 + size), crc32(0, chunk, size + 4));
  std::array<Bytef, 64> rows{};
  uLongf length = rows.size();
  ASSERT_EQ(uncompress(rows.data(), &length, chunk + 4, size), Z_OK);
  ASSERT_EQ(length, kHeight * (1 + kWidth * 3u));
  for (size_t y = 0; y < kHeight; y++) {
    const size_t begin = y * (1 + kWidth * 3);
    EXPECT_EQ(rows[begin], 0);
    for (size_t i = 0; i < kWidth * 3; i++) {
      EXPECT_EQ(rows[begin + 1 + i], kPixels[y * kWidth * 3 + i]);
    }
  }
  EXPECT_EQ(png->substr(png->size() - 12), std::string("\0\0\0\0IEND\xae\x42\x60\x82", 12));
}

TEST(Webp, IsRefusedWhenItIsBrokenOrTooLarge) {
  const std::string webp = as_webp(kPixels.data(), kWidth, kHeight);
  for (size_t size = 0; size < webp.size() - 1; size++) {
    const auto png = png_of_webp(webp.substr(0, size));
    ASSERT_FALSE(png) << size;
    EXPECT_EQ(png.error().code, Errc::invalid_argument);
  }
  // The header of a lossless image of 16383 x 16383 pixels, and nothing else.
  std::string large = webp;
  const uint32_t sizes = 16382 | 16382u << 14;
  for (size_t i = 0; i < 4; i++) large[21 + i] = static_cast<char>(sizes >> 8 * i);
  const auto refused = png_of_webp(large);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().what.find("16383x16383"), std::string::npos) << refused.error().what;
}

TEST(Webp, IsKnownByItsBothMarks) {
  EXPECT_FALSE(is_webp("RIFF\x10\0\0\0WAVEfmt "));
  EXPECT_FALSE(is_webp("RIFF"));
  EXPECT_FALSE(is_webp(""));
}

}  // namespace
}  // namespace om::prompt
