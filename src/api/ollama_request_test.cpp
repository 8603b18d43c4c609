#include "api/ollama_request.h"

#include <gtest/gtest.h>

namespace om::api {
namespace {

TEST(OllamaChatRequest, TakesMessagesInTheShapesOfOtherApis) {
  const auto body = boost::json::parse(R"({"model":"m","messages":[
    {"role":"user","content":[{"type":"text","text":"what"},
      {"type":"image_url","image_url":{"url":"data:image/png;base64,AAEC"}},
      {"type":"text","text":"is this"}]},
    {"role":"user","content":"and this","images":["data:image/jpeg;base64,AAEC","AwQ="]},
    {"role":"user","content":[]},
    {"role":"assistant","tool_calls":[
      {"function":{"name":"f","arguments":"{\"a\": 1}"}},
      {"function":{"name":"f","arguments":"cut"}},
      {"function":{"name":"f","arguments":{"a":2}}},
      {"function":{"name":"f"}}]}]})");
  auto request = read_chat_request(body);
  ASSERT_TRUE(request.has_value()) << request.error().what;
  const auto& messages = request->messages;
  ASSERT_EQ(messages.size(), 4u);
  const std::string picture("\0\1\2", 3);
  EXPECT_EQ(messages[0].content, "what\nis this");
  EXPECT_EQ(messages[0].images, std::vector{picture});
  EXPECT_EQ(messages[0].image_places, std::vector<size_t>{4});
  EXPECT_EQ(messages[1].images, (std::vector<std::string>{picture, "\3\4"}));
  EXPECT_EQ(messages[2].content, "");
  std::vector<std::string> arguments;
  for (const auto& call : messages[3].tool_calls) arguments.push_back(call.arguments);
  EXPECT_EQ(arguments, (std::vector<std::string>{R"({"a": 1})", R"({"arguments":"cut"})",
                                                 R"({"a":2})", "{}"}));
}

TEST(OllamaChatRequest, SaysWhichPartIsWrong) {
  const auto body = boost::json::parse(
      R"({"model":"m","messages":[{"role":"user","content":[{"type":"text"}]}]})");
  EXPECT_EQ(read_chat_request(body).error().what, "'messages.content[0].text' is required");
}

}  // namespace
}  // namespace om::api
