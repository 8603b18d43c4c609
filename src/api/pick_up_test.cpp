#include "api/pick_up.h"

#include <gmock/gmock.h>

namespace om::api {
namespace {

http::Headers headers(std::string_view key, std::string_view last = {}) {
  http::Headers result;
  if (!key.empty()) result.set("Idempotency-Key", key);
  if (!last.empty()) result.set("Last-Event-ID", last);
  return result;
}

TEST(EventNumbers, NumbersEveryEventOfAStream) {
  EventNumbers numbers(0);
  numbers.set_event_stream(true);
  EXPECT_EQ(numbers.pass("data: a\n\nevent: x\ndata: b\n\n"),
            "id: 1\ndata: a\n\nid: 2\nevent: x\ndata: b\n\n");
  EXPECT_EQ(numbers.pass("data: c\n\n"), "id: 3\ndata: c\n\n");
}

TEST(EventNumbers, LeavesOutWhatTheClientHas) {
  EventNumbers numbers(2);
  numbers.set_event_stream(true);
  EXPECT_EQ(numbers.pass("data: a\n\ndata: b\n\ndata: c\n\n"), "id: 3\ndata: c\n\n");
  EventNumbers lines(1);
  EXPECT_EQ(lines.pass("{\"a\":1}\n"), "");
  EXPECT_EQ(lines.pass("{\"b\":2}\n"), "{\"b\":2}\n");
}

TEST(PickUp, IsOnlyForThoseWhoAsk) {
  auto none = read_pick_up(headers(""), "/api/chat");
  ASSERT_TRUE(none);
  EXPECT_FALSE(*none);
  EXPECT_FALSE(read_pick_up(headers("", "3"), "/api/chat"));
}

TEST(PickUp, NamesTheAnswerForOneCallerAndPath) {
  const auto name = [](http::Headers given, std::string_view path) {
    return (*read_pick_up(given, path))->record;
  };
  http::Headers other = headers("k");
  other.set("Authorization", "Bearer x");
  const std::string record = name(headers("k"), "/api/chat");
  EXPECT_EQ(record.size(), 64);
  EXPECT_EQ(name(headers("k", "7"), "/api/chat"), record);
  EXPECT_NE(name(other, "/api/chat"), record);
  EXPECT_NE(name(headers("k"), "/api/generate"), record);
  EXPECT_NE(name(headers("l"), "/api/chat"), record);
}

TEST(PickUp, RefusesKeysAndNumbersThatAreNone) {
  EXPECT_FALSE(read_pick_up(headers(std::string(kIdempotencyKeyMax + 1, 'x')), "/"));
  EXPECT_FALSE(read_pick_up(headers("a\tb"), "/"));
  EXPECT_FALSE(read_pick_up(headers("k", "-1"), "/"));
  EXPECT_FALSE(read_pick_up(headers("k", "abc"), "/"));
}

}  // namespace
}  // namespace om::api
