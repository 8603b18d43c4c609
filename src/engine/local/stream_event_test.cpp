#include "engine/local/stream_event.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <boost/json.hpp>

namespace om::engine {
namespace {

std::string token_event(std::string_view quoted_content, int64_t token, int64_t predicted) {
  return fmt::format(R"({{"index":0,"content":{},"tokens":[{}],"stop":false,"id_slot":1,)"
                     R"("tokens_predicted":{},"tokens_evaluated":7}})",
                     quoted_content, token, predicted);
}

void expect_equal(const StreamEvent& a, const StreamEvent& b) {
  RC_ASSERT(a.kind == b.kind);
  RC_ASSERT(a.text == b.text);
  RC_ASSERT(a.tokens == b.tokens);
  RC_ASSERT(a.predicted == b.predicted);
  RC_ASSERT(a.evaluated == b.evaluated);
}

TEST(StreamEvent, ScansTheCommonEventWithoutADocument) {
  const auto event = scan_token_event(token_event(R"(" caf\u00e9")", 5, 1));
  EXPECT_FALSE(event);  // Left to the parser, because of the escape.
  const auto plain = scan_token_event(token_event(R"(" \"café\"\n")", 6128, 2));
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->text, " \"café\"\n");
  EXPECT_EQ(plain->tokens, std::vector<Token>{6128});
  EXPECT_EQ(plain->predicted, 2);
  EXPECT_EQ(plain->evaluated, 7);
}

RC_GTEST_PROP(StreamEvent, ScannerAndParserAgreeOnEveryText, (std::string text)) {
  const std::string quoted = boost::json::serialize(boost::json::value(text));
  const std::string json = token_event(quoted, 3, 4);
  const auto scanned = scan_token_event(json);
  const auto parsed = parse_event(json);
  if (scanned) {
    RC_ASSERT(parsed.has_value());
    expect_equal(*scanned, *parsed);
  }
  if (parsed) RC_ASSERT(parsed->text == text);
}

RC_GTEST_PROP(StreamEvent, WhatTheScannerTakesAfterDamageTheParserTakesAlike,
              (size_t at, char byte)) {
  std::string json = token_event(R"("a\"b é 🚀")", 12, 4);
  json[at % json.size()] = byte;
  const auto scanned = scan_token_event(json);
  if (!scanned) return;
  const auto parsed = parse_event(json);
  RC_ASSERT(parsed.has_value());
  expect_equal(*scanned, *parsed);
}

TEST(StreamEvent, KnowsAllKinds) {
  auto progress = read_stream_event(
      R"({"index":0,"content":"","tokens":[0],"stop":false,"id_slot":-1,"tokens_predicted":0,)"
      R"("tokens_evaluated":7,"prompt_progress":{"total":7,"cache":2,"processed":4,"time_ms":4}})");
  ASSERT_TRUE(progress);
  EXPECT_EQ(progress->kind, StreamEvent::Kind::progress);
  EXPECT_TRUE(progress->tokens.empty());
  EXPECT_EQ(progress->progress.evaluated, 2);
  EXPECT_EQ(progress->progress.left, 3);
  EXPECT_EQ(progress->progress.time, std::chrono::milliseconds(4));

  auto final = read_stream_event(
      R"({"stop":true,"stop_type":"word","stopping_word":"END","tokens_predicted":4,)"
      R"("tokens_evaluated":7,"timings":{"cache_n":3,"prompt_ms":42.5,"predicted_ms":31.25}})");
  ASSERT_TRUE(final);
  EXPECT_EQ(final->kind, StreamEvent::Kind::final);
  EXPECT_EQ(final->stop_type, "word");
  EXPECT_EQ(final->stop_word, "END");
  EXPECT_EQ(final->cached, 3);
  EXPECT_DOUBLE_EQ(final->prompt_ms, 42.5);

  auto error = read_stream_event(R"({"error":{"code":500,"message":"Compute error."}})");
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind, StreamEvent::Kind::error);
  EXPECT_EQ(error->text, "Compute error.");
  EXPECT_EQ(error->code, 500);
}

TEST(StreamEvent, ReadsLogprobsWithTheTokensOwnBytes) {
  // The text sent was " a small", joined after a withheld token; the token itself is " small".
  auto event = read_stream_event(
      R"({"index":0,"content":" a small","tokens":[1165],"stop":false,"id_slot":0,)"
      R"("tokens_predicted":3,"tokens_evaluated":4,"completion_probabilities":[{"id":1165,)"
      R"("token":" a small","bytes":[32,97],"logprob":-2.5,"top_logprobs":[)"
      R"({"id":9,"token":"","bytes":[240,159],"logprob":-1.5},)"
      R"({"id":1165,"token":" small","bytes":[32,115,109,97,108,108],"logprob":-2.5}]}]})");
  ASSERT_TRUE(event);
  ASSERT_EQ(event->logprobs.size(), 1u);
  EXPECT_EQ(event->logprobs[0].token, " small");
  EXPECT_DOUBLE_EQ(event->logprobs[0].logprob, -2.5);
  ASSERT_EQ(event->logprobs[0].top.size(), 2u);
  EXPECT_EQ(event->logprobs[0].top[0].token, "\xf0\x9f");
}

TEST(StreamEvent, RefusesWhatIsNoEvent) {
  for (std::string_view bad : {"", "{", "[]", "{}", R"({"stop":1})", R"({"content":"x"})",
                               "{\"content\":\"\xff\",\"stop\":false}"}) {
    auto event = read_stream_event(bad);
    ASSERT_FALSE(event) << bad;
    EXPECT_EQ(event.error().code, Errc::corrupt);
  }
}

TEST(StreamEvent, TakesTheMessageOutOfAnErrorBody) {
  EXPECT_EQ(error_message(R"({"error":{"code":400,"message":"no"}})"), "no");
  EXPECT_EQ(error_message(R"({"error":"plain"})"), "plain");
  const std::string too_long = R"({"error":{"message":"no","type":"exceed_context_size_error"}})";
  EXPECT_EQ(error_message(too_long), too_long);
  EXPECT_EQ(error_message("<html>"), "<html>");
}

std::vector<std::string> lines_of(std::string_view stream, size_t slice) {
  EventLines lines;
  std::vector<std::string> all;
  for (size_t at = 0; at < stream.size(); at += slice) {
    lines.buffer() += stream.substr(at, slice);
    while (true) {
      auto line = lines.next();
      if (!line) {
        all.push_back("error: " + line.error().what);
        return all;
      }
      if (!*line) break;
      all.emplace_back(**line);
    }
  }
  return all;
}

TEST(EventLines, ComeOutTheSameHoweverTheBytesAreSliced) {
  const std::string stream = "data: {1}\n\n: ping\n\ndata:{2}\r\n\r\ndata: [DONE]\n\ndata: {3}\n\n";
  const std::vector<std::string> expected = {"{1}", "{2}", "{3}"};
  for (size_t slice = 1; slice < 70; slice++) EXPECT_EQ(lines_of(stream, slice), expected);
}

TEST(EventLines, AreBounded) {
  const std::string endless = "data: " + std::string(kStreamLineMax + 10, 'x');
  const auto lines = lines_of(endless, 65536);
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_TRUE(lines[0].starts_with("error: the runner sent a line longer"));
}

TEST(EventLines, RefuseOtherLines) {
  const auto lines = lines_of("data: {1}\n\nnonsense\n", 100);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[1], "error: the runner sent a line that is no event: nonsense");
}

}  // namespace
}  // namespace om::engine
