#include "api/access.h"

#include <gtest/gtest.h>

namespace om::api {
namespace {

TEST(Access, KnowsWhatAProxyHandsOn) {
  http::Headers headers;
  headers.add("Host", "localhost");
  headers.add("User-Agent", "curl");
  EXPECT_FALSE(came_through_a_proxy(headers));
  for (const char* mark : {"Forwarded", "x-forwarded-for", "X-Real-Ip", "Via"}) {
    http::Headers marked = headers;
    marked.add(mark, "");  // As a client may send it, before the proxy adds its own.
    marked.add(mark, "203.0.113.5");
    EXPECT_TRUE(came_through_a_proxy(marked)) << mark;
  }
}

}  // namespace
}  // namespace om::api
