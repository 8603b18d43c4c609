#include "http/content_coding.h"

#include <gtest/gtest.h>
#include <zstd.h>

#include "http/loopback_for_test.h"

namespace om::http {
namespace {

Headers accepting(std::string_view value) {
  Headers headers;
  headers.add("Accept-Encoding", value);
  return headers;
}

std::string gzip(const std::string& text) {
  return gzip_if_useful(accepting("gzip"), "text/plain", text).value();
}

std::string zstd(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

TEST(ContentCoding, DecodesGzipAndZstd) {
  const std::string text(100'000, 'a');
  EXPECT_EQ(decode_content("gzip", gzip(text), 1 << 20).value(), text);
  EXPECT_EQ(decode_content("GZIP", gzip(text) + gzip(text), 1 << 20).value(), text + text);
  EXPECT_EQ(decode_content("zstd", zstd(text), 1 << 20).value(), text);
  EXPECT_EQ(decode_content("zstd, identity", zstd(text), 1 << 20).value(), text);
}

TEST(ContentCoding, RefusesMoreThanTheLimit) {
  const std::string text(1 << 20, 'a');
  for (const uint64_t limit : {uint64_t{0}, uint64_t{1000}, uint64_t{(1 << 20) - 1}}) {
    EXPECT_EQ(decode_content("gzip", gzip(text), limit).error().code, Errc::overloaded);
    EXPECT_EQ(decode_content("zstd", zstd(text), limit).error().code, Errc::overloaded);
  }
  EXPECT_TRUE(decode_content("gzip", gzip(text), 1 << 20).has_value());
}

TEST(ContentCoding, RefusesBrokenAndCutData) {
  const std::string text(5000, 'a');
  std::string cut = gzip(text);
  cut.pop_back();
  EXPECT_EQ(decode_content("gzip", cut, 1 << 20).error().code, Errc::invalid_argument);
  cut = zstd(text);
  cut.pop_back();
  EXPECT_EQ(decode_content("zstd", cut, 1 << 20).error().code, Errc::invalid_argument);
  EXPECT_EQ(decode_content("gzip", "nonsense", 100).error().code, Errc::invalid_argument);
  EXPECT_EQ(decode_content("gzip", "", 100).error().code, Errc::invalid_argument);
  EXPECT_EQ(decode_content("br", "x", 100).error().code, Errc::unsupported);
  EXPECT_EQ(decode_content("gzip,gzip,gzip", "x", 100).error().code, Errc::unsupported);
}

TEST(ContentCoding, IsChosenOnlyWhereTheClientTakesIt) {
  EXPECT_TRUE(accepts_gzip(accepting("gzip")));
  EXPECT_TRUE(accepts_gzip(accepting("br, gzip;q=0.5")));
  EXPECT_TRUE(accepts_gzip(accepting("*")));
  EXPECT_FALSE(accepts_gzip(accepting("gzip;q=0, *")));
  EXPECT_FALSE(accepts_gzip(accepting("br")));
  EXPECT_FALSE(accepts_gzip(Headers{}));
  const std::string text(5000, 'a');
  EXPECT_FALSE(gzip_if_useful(accepting("gzip"), "image/png", text));
  EXPECT_FALSE(gzip_if_useful(accepting("gzip"), "text/plain", "short"));
  EXPECT_TRUE(gzip_if_useful(accepting("gzip"), "application/json; charset=utf-8", text));
}

io::Task<void> send_encoded(Loopback& loopback, std::string coding, std::string body,
                            std::string expected) {
  auto request = loopback.request("POST", "/echo", std::move(body));
  request.headers.set("Content-Encoding", coding);
  auto response = co_await loopback.client.send(std::move(request), loopback.soon());
  EXPECT_TRUE(response.has_value());
  if (!response) co_return;
  const auto answer = co_await (*response)->read_all(1 << 21);
  EXPECT_EQ((*response)->status(), expected.empty() ? 413 : 200);
  if (!expected.empty()) EXPECT_EQ(answer.value_or("?"), expected);
}

TEST(ContentCoding, OfARequestIsDecodedWithinTheLimit) {
  const std::string text(100'000, 'a'), bomb(2 << 20, 'a');
  Loopback loopback;
  loopback.run(send_encoded(loopback, "gzip", gzip(text), text));
  Loopback second;
  second.run(send_encoded(second, "zstd", zstd(bomb), ""));
}

}  // namespace
}  // namespace om::http
