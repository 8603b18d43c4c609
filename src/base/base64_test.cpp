#include "base/base64.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace om {
namespace {

TEST(Base64, EncodesTheVectorsOfTheStandard) {
  EXPECT_EQ(base64_encode(""), "");
  EXPECT_EQ(base64_encode("f"), "Zg==");
  EXPECT_EQ(base64_encode("fo"), "Zm8=");
  EXPECT_EQ(base64_encode("foobar"), "Zm9vYmFy");
  EXPECT_EQ(base64_encode("\xfb\xff", Base64::url_unpadded), "-_8");
}

TEST(Base64, SkipsLineBreaks) { EXPECT_EQ(*base64_decode("Zm\r\n9v\nYg=\n=\n"), "foob"); }

// Offsets as Go 1.24 reports them.
TEST(Base64, NamesTheFirstIllegalByteAsGoDoes) {
  const auto error = [](std::string_view text, Base64 form = Base64::standard) {
    return base64_decode(text, form).error().what;
  };
  EXPECT_EQ(error("!!!"), "illegal base64 data at input byte 0");
  EXPECT_EQ(error("Zm9v!"), "illegal base64 data at input byte 4");
  EXPECT_EQ(error("Zm9vY"), "illegal base64 data at input byte 4");
  EXPECT_EQ(error("aGVsbG8"), "illegal base64 data at input byte 4");
  EXPECT_EQ(error("Zg="), "illegal base64 data at input byte 3");
  EXPECT_EQ(error("Zg=a"), "illegal base64 data at input byte 2");
  EXPECT_EQ(error("Zg==Zg=="), "illegal base64 data at input byte 4");
  EXPECT_EQ(error("===="), "illegal base64 data at input byte 0");
  EXPECT_EQ(error("Z==="), "illegal base64 data at input byte 1");
  EXPECT_EQ(error("Zg==", Base64::url_unpadded), "illegal base64 data at input byte 2");
  EXPECT_EQ(error("Z", Base64::url_unpadded), "illegal base64 data at input byte 0");
}

RC_GTEST_PROP(Base64, DecodingUndoesEncoding, (const std::string& bytes)) {
  RC_ASSERT(*base64_decode(base64_encode(bytes)) == bytes);
  const auto url = base64_encode(bytes, Base64::url_unpadded);
  RC_ASSERT(*base64_decode(url, Base64::url_unpadded) == bytes);
}

}  // namespace
}  // namespace om
