#include "api/anthropic_stream.h"

#include <gtest/gtest.h>

namespace om::api {
namespace {

const MessageHead kHead{.id = "msg_x", .model = "m", .input_tokens_estimate = 4};

model::Chunk last(model::DoneReason reason, std::string stop_sequence = "") {
  return {.done = true,
          .reason = reason,
          .stop_sequence = std::move(stop_sequence),
          .usage = {.prompt_tokens = 5, .output_tokens = 3}};
}

TEST(MessageStream, TellsBlocksOneAfterAnother) {
  MessageStream stream(kHead);
  std::string events = stream.begin();
  events += stream.add({.thinking = "hm"});
  events += stream.add({.content = "Hi"});
  events += stream.add({.tool_calls = {{.id = "call_1", .name = "f", .arguments = R"({"a":1})"}}});
  events += stream.add(last(model::DoneReason::stop));
  EXPECT_EQ(events, R"(event: message_start
data: {"type":"message_start","message":{"id":"msg_x","type":"message",)"
                    R"("role":"assistant","model":"m","content":[],"stop_reason":null,)"
                    R"("stop_sequence":null,"usage":{"input_tokens":4,"output_tokens":0,)"
                    R"("cache_creation_input_tokens":0,"cache_read_input_tokens":0}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking",)"
                    R"("thinking":"","signature":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"none"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: content_block_start
data: {"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Hi"}}

event: content_block_stop
data: {"type":"content_block_stop","index":1}

event: content_block_start
data: {"type":"content_block_start","index":2,"content_block":{"type":"tool_use",)"
                    R"("id":"call_1","name":"f","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta",)"
                    R"("partial_json":"{\"a\":1}"}}

event: content_block_stop
data: {"type":"content_block_stop","index":2}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"tool_use",)"
                    R"("stop_sequence":null},"usage":{"input_tokens":5,"output_tokens":3,)"
                    R"("cache_creation_input_tokens":0,"cache_read_input_tokens":0}}

event: message_stop
data: {"type":"message_stop"}

)");
}

TEST(MessageReply, SaysWhyItStopped) {
  GatheredAnswer answer;
  answer.add({.content = "Hi"});
  answer.add(last(model::DoneReason::stop, "END"));
  EXPECT_EQ(message_reply(kHead, answer),
            R"({"id":"msg_x","type":"message","role":"assistant","model":"m","content":[{)"
            R"("type":"text","text":"Hi"}],"stop_reason":"stop_sequence",)"
            R"("stop_sequence":"END","usage":{"input_tokens":5,"output_tokens":3,)"
            R"("cache_creation_input_tokens":0,"cache_read_input_tokens":0}})");
  EXPECT_EQ(stop_reason(model::DoneReason::length, true, "END"), "max_tokens");
  EXPECT_EQ(stop_reason(model::DoneReason::stop, true, ""), "tool_use");
  EXPECT_EQ(stop_reason(model::DoneReason::stop, false, ""), "end_turn");
}

TEST(MessageReply, HasAListOfBlocksEvenIfEmpty) {
  GatheredAnswer answer;
  answer.add(last(model::DoneReason::stop));
  EXPECT_NE(message_reply(kHead, answer).find(R"("content":[],)"), std::string::npos);
}

}  // namespace
}  // namespace om::api
