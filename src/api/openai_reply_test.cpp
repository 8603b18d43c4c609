#include "api/openai_reply.h"

#include <gtest/gtest.h>

#include "api/openai_logprobs.h"

namespace om::api {
namespace {

const ReplyHead kHead{.id = "chatcmpl-1", .model = "m", .created = 7};
constexpr std::string_view kOpen =
    R"(data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m",)"
    R"("system_fingerprint":"fp_ollama","choices":[)";

model::Chunk text(std::string content) { return {.content = std::move(content)}; }

model::Chunk last(model::DoneReason reason = model::DoneReason::stop) {
  return {.done = true,
          .reason = reason,
          .usage = {.prompt_tokens = 5,
                    .prompt_cached_tokens = 2,
                    .output_tokens = 3,
                    .reasoning_tokens = 1}};
}

// The events of a stream with what all of them begin with taken off.
std::string shortened(std::string events) {
  for (size_t at; (at = events.find(kOpen)) != std::string::npos;) {
    events.replace(at, kOpen.size(), "> ");
  }
  return events;
}

TEST(ChatStream, TellsTheRoleOnceThenTextThenTheEnd) {
  ChatStream stream(kHead, false);
  std::string events = stream.add(0, text("Hel")) + stream.add(0, text("lo")) +
                       stream.add(0, last()) + stream.end({});
  EXPECT_EQ(shortened(events),
            R"(> {"index":0,"delta":{"role":"assistant","content":"Hel"},"finish_reason":null}]})"
            "\n\n"
            R"(> {"index":0,"delta":{"content":"lo"},"finish_reason":null}]})"
            "\n\n"
            R"(> {"index":0,"delta":{},"finish_reason":"stop"}]})"
            "\n\ndata: [DONE]\n\n");
}

TEST(ChatStream, SplitsThinkingFromTextAndEndsWithTheUsage) {
  ChatStream stream(kHead, true);
  model::Chunk both{.content = "yes", .thinking = "hm"};
  UsageSum usage;
  usage.add(last().usage, true);
  std::string events =
      stream.add(0, both) + stream.add(0, last(model::DoneReason::length)) + stream.end(usage);
  EXPECT_EQ(shortened(events),
            R"(> {"index":0,"delta":{"role":"assistant","reasoning":"hm"},)"
            R"("finish_reason":null}],"usage":null})"
            "\n\n"
            R"(> {"index":0,"delta":{"content":"yes"},"finish_reason":null}],"usage":null})"
            "\n\n"
            R"(> {"index":0,"delta":{},"finish_reason":"length"}],"usage":null})"
            "\n\n"
            R"(> ],"usage":{"prompt_tokens":5,"completion_tokens":3,"total_tokens":8,)"
            R"("prompt_tokens_details":{"cached_tokens":2},)"
            R"("completion_tokens_details":{"reasoning_tokens":1}}})"
            "\n\ndata: [DONE]\n\n");
}

TEST(ChatStream, CountsToolCallsWithinTheirChoice) {
  ChatStream stream(kHead, false);
  model::Chunk calls{.tool_calls = {{.id = "call_a", .name = "f", .arguments = R"({"x":1})"},
                                    {.id = "call_b", .name = "g", .arguments = "{}"}}};
  std::string first = stream.add(0, calls) + stream.add(0, last());
  EXPECT_EQ(
      shortened(first),
      R"(> {"index":0,"delta":{"role":"assistant","tool_calls":[{"index":0,)"
      R"("id":"call_a","type":"function","function":{"name":"f",)"
      R"("arguments":"{\"x\":1}"}}]},"finish_reason":null}]})"
      "\n\n"
      R"(> {"index":0,"delta":{"tool_calls":[{"index":1,"id":"call_b",)"
      R"("type":"function","function":{"name":"g","arguments":"{}"}}]},"finish_reason":null}]})"
      "\n\n"
      R"(> {"index":0,"delta":{},"finish_reason":"tool_calls"}]})"
      "\n\n");
  std::string second = stream.add(1, text("no")) + stream.add(1, last());
  EXPECT_NE(second.find(R"("index":1,"delta":{"role":"assistant","content":"no"})"), second.npos);
  EXPECT_NE(second.find(R"("finish_reason":"stop")"), second.npos);
}

TEST(ChatStream, ShowsLogprobsOfTokensWhoseTextIsHeldBack) {
  ChatStream stream(kHead, false);
  model::Chunk held{.logprobs = {{.token = "a", .logprob = -0.5}}};
  EXPECT_EQ(shortened(stream.add(0, held)),
            R"(> {"index":0,"delta":{"role":"assistant","content":""},"logprobs":{)"
            R"("content":[{"token":"a","logprob":-0.5,"bytes":[97],"top_logprobs":[]}],)"
            R"("refusal":null},"finish_reason":null}]})"
            "\n\n");
  model::Chunk thought{.thinking = "b", .logprobs = {{.token = "b", .logprob = -1}}};
  std::string events = stream.add(0, thought);
  EXPECT_EQ(events.find("\"content\":\"\""), events.npos) << events;
  EXPECT_NE(events.find(R"("delta":{"reasoning":"b"},"logprobs")"), events.npos) << events;
}

TEST(ChatReply, HasAFinishReasonAndNullContentWithCalls) {
  GatheredAnswer answer;
  answer.add({.thinking = "hm"});
  answer.add({.tool_calls = {{.id = "call_a", .name = "f", .arguments = "{}"}}});
  answer.add(last());
  UsageSum usage;
  usage.add(answer.usage, true);
  EXPECT_EQ(chat_reply(kHead, {answer}, usage),
            R"({"id":"chatcmpl-1","object":"chat.completion","created":7,"model":"m",)"
            R"("system_fingerprint":"fp_ollama","choices":[{"index":0,"message":{)"
            R"("role":"assistant","content":null,"reasoning":"hm","tool_calls":[{)"
            R"("id":"call_a","type":"function","function":{"name":"f",)"
            R"("arguments":"{}"}}]},"logprobs":null,"finish_reason":"tool_calls"}],)"
            R"("usage":{"prompt_tokens":5,"completion_tokens":3,"total_tokens":8,)"
            R"("prompt_tokens_details":{"cached_tokens":2},)"
            R"("completion_tokens_details":{"reasoning_tokens":1}}})");
}

TEST(UsageSum, CountsAPromptOnce) {
  UsageSum usage;
  usage.add(last().usage, true);
  usage.add(last().usage, false);
  EXPECT_EQ(usage.prompt_tokens, 5);
  EXPECT_EQ(usage.output_tokens, 6);
}

TEST(CompletionStream, EchoesThePromptAndPlacesTokensInTheText) {
  CompletionStream stream({.id = "cmpl-1", .model = "m", .created = 7}, false);
  model::Chunk chunk{.content = "b",
                     .logprobs = {{.token = "b", .logprob = -1, .top = {{"b", -1}, {"c", -2}}}}};
  std::string events = stream.echo(0, "aé") + stream.add(0, chunk) + stream.add(0, last());
  EXPECT_NE(events.find(R"({"text":"aé","index":0,"logprobs":null,"finish_reason":null})"),
            events.npos)
      << events;
  EXPECT_NE(
      events.find(R"({"text":"b","index":0,"logprobs":{"tokens":["b"],)"
                  R"("token_logprobs":[-1],"top_logprobs":[{"b":-1,"c":-2}],"text_offset":[2]},)"
                  R"("finish_reason":null})"),
      events.npos)
      << events;
  EXPECT_NE(events.find(R"({"text":"","index":0,"logprobs":null,"finish_reason":"stop"})"),
            events.npos);
}

TEST(CompletionReply, ListsAChoiceForEachPrompt) {
  CompletionChoice a{.echo = "p", .answer = {}}, b;
  a.answer.add(text("x"));
  a.answer.add(last());
  b.answer.add(text("y"));
  b.answer.add(last(model::DoneReason::length));
  std::string reply = completion_reply({.id = "cmpl-1", .model = "m", .created = 7}, {a, b}, {});
  EXPECT_NE(reply.find(R"([{"text":"px","index":0,"logprobs":null,"finish_reason":"stop"},{)"
                       R"("text":"y","index":1,"logprobs":null,"finish_reason":"length"}])"),
            reply.npos)
      << reply;
}

TEST(Logprobs, ShowBrokenCharactersAndImpossibleTokens) {
  std::string out;
  write_chat_logprobs(out, {{.token = "\xF0\x9F",
                             .logprob = -std::numeric_limits<double>::infinity(),
                             .top = {{"a", -0.25}}}});
  EXPECT_EQ(out,
            R"({"content":[{"token":"\ufffd\ufffd","logprob":-9999,"bytes":[240,159],)"
            R"("top_logprobs":[{"token":"a","logprob":-0.25,"bytes":[97]}]}],"refusal":null})");
}

TEST(EmbeddingsReply, WritesFloatsOrTheirBytes) {
  model::Embedding embedding{.vectors = {{1.0F, 0.1F}, {}}, .prompt_tokens = 4};
  EXPECT_EQ(embeddings_reply("m", embedding, false),
            R"({"object":"list","data":[{"object":"embedding","embedding":[1,0.1],)"
            R"("index":0},{"object":"embedding","embedding":[],"index":1}],"model":"m",)"
            R"("usage":{"prompt_tokens":4,"total_tokens":4}})");
  EXPECT_NE(embeddings_reply("m", embedding, true).find(R"("embedding":"AACAP83MzD0=")"),
            std::string::npos);
}

}  // namespace
}  // namespace om::api
