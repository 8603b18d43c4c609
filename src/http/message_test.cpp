#include "http/message.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "http/range.h"
#include "http/server_connection.h"

namespace om::http {
namespace {

TEST(Headers, CompareNamesWithoutCase) {
  Headers headers;
  headers.add("Accept", "a");
  headers.add("ACCEPT", "b");
  EXPECT_EQ(headers.get("accept"), "a");
  headers.set("accept", "c");
  EXPECT_EQ(headers.size(), 1u);
  EXPECT_EQ(headers.get("Accept"), "c");
  headers.remove("aCCept");
  EXPECT_FALSE(headers.has("Accept"));
}

TEST(Headers, FindTokensInLists) {
  Headers headers;
  headers.add("Connection", "keep-alive , Close");
  EXPECT_TRUE(headers.has_token("connection", "close"));
  EXPECT_FALSE(headers.has_token("connection", "clos"));
}

RC_GTEST_PROP(PercentCoding, RoundTrips, ()) {
  const auto text = *rc::gen::container<std::string>(rc::gen::nonZero<char>());
  RC_ASSERT(percent_decode(percent_encode(text)).value() == text);
}

TEST(PercentCoding, RefusesBrokenEscapes) {
  EXPECT_FALSE(percent_decode("%").has_value());
  EXPECT_FALSE(percent_decode("%4").has_value());
  EXPECT_FALSE(percent_decode("%4g").has_value());
  EXPECT_FALSE(percent_decode("a%00b").has_value());
  EXPECT_EQ(percent_decode("a+b%2B", true).value(), "a b+");
}

TEST(Urls, AreTakenApart) {
  const auto url = Url::parse("HTTPS://user@Example.com:8443/a?b#c");
  ASSERT_TRUE(url.has_value());
  EXPECT_EQ(url->scheme, "https");
  EXPECT_EQ(url->host, "Example.com");
  EXPECT_EQ(url->port, 8443);
  EXPECT_EQ(url->target, "/a?b");
  EXPECT_EQ(url->authority(), "Example.com:8443");
  const auto v6 = Url::parse("http://[::1]?q=1");
  ASSERT_TRUE(v6.has_value());
  EXPECT_EQ(v6->host, "::1");
  EXPECT_EQ(v6->port, 80);
  EXPECT_EQ(v6->str(), "http://[::1]/?q=1");
  for (const auto* text : {"example.com", "ftp://a/", "http://", "http://a:b/", "http://a:0/",
                           "http://a:70000/", "http://[::1/", "http://[]/", "http://[a]/",
                           "http://a]b/", "http://[[]", "http://a/ b", "http://a b/"}) {
    EXPECT_FALSE(Url::parse(text).has_value()) << text;
  }
}

TEST(Ranges, AreOneSpanOrIgnored) {
  const auto part = [](std::string_view header) { return parse_range(header, 100); };
  EXPECT_EQ(part("bytes=0-9").range, (ByteRange{0, 10}));
  EXPECT_EQ(part("bytes=90-").range, (ByteRange{90, 10}));
  EXPECT_EQ(part("bytes=90-500").range, (ByteRange{90, 10}));
  EXPECT_EQ(part("bytes=-5").range, (ByteRange{95, 5}));
  EXPECT_EQ(part("bytes=-500").range, (ByteRange{0, 100}));
  for (const auto* header : {"", "bytes=", "bytes=a-b", "bytes=5-4", "bytes=1-2,4-5", "lines=1-2",
                             "bytes=-", "bytes=+1-2", "bytes=99999999999999999999-"}) {
    EXPECT_EQ(part(header).kind, RangeKind::whole) << header;
  }
  EXPECT_EQ(part("bytes=100-").kind, RangeKind::unsatisfiable);
  EXPECT_EQ(part("bytes=-0").kind, RangeKind::unsatisfiable);
  EXPECT_EQ(parse_range("bytes=0-", 0).kind, RangeKind::unsatisfiable);
}

TEST(DateHeader, IsWrittenAsTheStandardWantsIt) {
  DateCache date;
  EXPECT_EQ(date.at(io::WallTime(std::chrono::seconds(784111777))),
            "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(date.at(io::WallTime(std::chrono::seconds(784111778))),
            "Sun, 06 Nov 1994 08:49:38 GMT");
}

}  // namespace
}  // namespace om::http
