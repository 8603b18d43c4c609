#include "api/responses_stream.h"

#include <gtest/gtest.h>

namespace om::api {
namespace {

namespace json = boost::json;

const ReplyHead kHead{.id = "resp_x", .model = "m", .created = 7};

model::Chunk last(model::DoneReason reason) {
  return {.done = true,
          .reason = reason,
          .usage = {.prompt_tokens = 5,
                    .prompt_cached_tokens = 2,
                    .output_tokens = 3,
                    .reasoning_tokens = 1,
                    .total = std::chrono::milliseconds(1900)}};
}

// The types of the events, one a line, after checking that each is well formed and numbered.
std::string types_of(std::string_view events, int first = 0) {
  std::string types;
  while (!events.empty()) {
    size_t end = events.find("\n\n");
    EXPECT_NE(end, events.npos);
    std::string_view one = events.substr(0, end);
    events.remove_prefix(end + 2);
    size_t data = one.find("\ndata: ");
    EXPECT_TRUE(one.starts_with("event: "));
    json::value value = json::parse(one.substr(data + 7));
    EXPECT_EQ(value.at("type").as_string(), one.substr(7, data - 7));
    EXPECT_EQ(value.at("sequence_number").as_int64(), first++);
    types += std::string(value.at("type").as_string().c_str()) + "\n";
  }
  return types;
}

TEST(ResponseStream, OpensAndClosesReasoningMessageAndCallInOrder) {
  ResponseStream stream(kHead, {});
  std::string events = stream.begin();
  events += stream.add({.thinking = "hm"});
  events += stream.add({.content = "He"});
  events += stream.add({.content = "llo"});
  events += stream.add({.tool_calls = {{.id = "call_1", .name = "f", .arguments = "{}"}}});
  events += stream.add(last(model::DoneReason::stop));
  EXPECT_EQ(types_of(events),
            "response.created\n"
            "response.in_progress\n"
            "response.output_item.added\n"
            "response.reasoning_summary_part.added\n"
            "response.reasoning_summary_text.delta\n"
            "response.reasoning_summary_text.done\n"
            "response.reasoning_summary_part.done\n"
            "response.output_item.done\n"
            "response.output_item.added\n"
            "response.content_part.added\n"
            "response.output_text.delta\n"
            "response.output_text.delta\n"
            "response.output_text.done\n"
            "response.content_part.done\n"
            "response.output_item.done\n"
            "response.output_item.added\n"
            "response.function_call_arguments.delta\n"
            "response.function_call_arguments.done\n"
            "response.output_item.done\n"
            "response.completed\n");
  EXPECT_NE(events.find(R"("text":"Hello")"), events.npos);
}

TEST(ResponseStream, MakesTheWholeResponse) {
  ResponseStream stream(kHead, {{"tool_choice", "auto"}});
  stream.add({.content = "Hello"});
  stream.add(last(model::DoneReason::stop));
  EXPECT_EQ(
      stream.response(),
      R"({"id":"resp_x","object":"response","created_at":7,"completed_at":9,)"
      R"("status":"completed",)"
      R"("error":null,"incomplete_details":null,"model":"m","output":[{)"
      R"("id":"msg_x_0","type":"message","status":"completed","role":"assistant",)"
      R"("content":[{"type":"output_text","text":"Hello","annotations":[],)"
      R"("logprobs":[]}]}],"usage":{"input_tokens":5,"input_tokens_details":{)"
      R"("cached_tokens":2,"cache_write_tokens":0},"output_tokens":3,"output_tokens_details":{)"
      R"("reasoning_tokens":1},"total_tokens":8},"tool_choice":"auto"})");
}

TEST(ResponseStream, TellsCallsAsTheClientKnowsTheTools) {
  ResponseStream stream(kHead, {},
                        {{"crm__find", {.name = "find", .name_space = "crm"}},
                         {"patch", {.name = "patch", .is_custom = true}}});
  std::string events =
      stream.add({.tool_calls = {{.id = "c1", .name = "crm__find", .arguments = R"({"a":1})"},
                                 {.id = "c2", .name = "patch", .arguments = R"({"input":"a\nb"})"},
                                 {.id = "c3", .name = "patch", .arguments = R"({"in":"x"})"}}});
  EXPECT_EQ(types_of(events),
            "response.output_item.added\n"
            "response.function_call_arguments.delta\n"
            "response.function_call_arguments.done\n"
            "response.output_item.done\n"
            "response.output_item.added\n"
            "response.custom_tool_call_input.delta\n"
            "response.custom_tool_call_input.done\n"
            "response.output_item.done\n"
            "response.output_item.added\n"
            "response.custom_tool_call_input.delta\n"
            "response.custom_tool_call_input.done\n"
            "response.output_item.done\n");
  stream.add(last(model::DoneReason::stop));
  const json::value response = json::parse(stream.response());
  const json::array& output = response.at("output").as_array();
  EXPECT_EQ(output.at(0), json::parse(R"({"id":"fc_x_0","type":"function_call",
      "status":"completed","call_id":"c1","name":"find","namespace":"crm",
      "arguments":"{\"a\":1}"})"));
  EXPECT_EQ(output.at(1), json::parse(R"({"id":"ctc_x_1","type":"custom_tool_call",
      "status":"completed","call_id":"c2","name":"patch","input":"a\nb"})"));
  EXPECT_EQ(output.at(2).at("input").as_string(), R"({"in":"x"})");  // Nothing is lost.
}

TEST(ResponseStream, IsIncompleteAtTheLimit) {
  ResponseStream stream(kHead, {});
  stream.add({.content = "Hel"});
  std::string events = stream.add(last(model::DoneReason::length));
  EXPECT_NE(events.find("event: response.incomplete\n"), events.npos);
  json::value response = json::parse(stream.response());
  EXPECT_EQ(response.at("status").as_string(), "incomplete");
  EXPECT_EQ(response.at("incomplete_details").at("reason").as_string(), "max_output_tokens");
  EXPECT_EQ(response.at("output").at(0).at("status").as_string(), "incomplete");
}

TEST(ResponseStream, HoldsAnEmptyMessageIfTheModelSaidNothing) {
  ResponseStream stream(kHead, {});
  stream.add(last(model::DoneReason::stop));
  EXPECT_EQ(json::parse(stream.response()).at("output").as_array().size(), 1u);
}

TEST(ResponseStream, TellsAFailure) {
  ResponseStream stream(kHead, {});
  std::string events = stream.begin();
  events += stream.fail("the runner died");
  EXPECT_EQ(types_of(events), "response.created\nresponse.in_progress\nerror\nresponse.failed\n");
  json::value response = json::parse(stream.response());
  EXPECT_EQ(response.at("error").at("message").as_string(), "the runner died");
  EXPECT_TRUE(response.at("usage").is_null());
}

}  // namespace
}  // namespace om::api
