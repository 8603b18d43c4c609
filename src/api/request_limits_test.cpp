#include "api/request_limits.h"

#include <gtest/gtest.h>

#include "api/anthropic_request.h"
#include "api/ollama_for_test.h"
#include "api/ollama_request.h"
#include "api/openai_request.h"
#include "api/responses_request.h"

namespace om::api {
namespace {

namespace json = boost::json;

constexpr std::string_view kImage = "data:image/png;base64,AAAA";

// What each API says to a request, in the order Ollama, OpenAI, Responses, Anthropic; "": nothing.
using Answers = std::array<std::string, 4>;
Answers all(std::string text) {
  Answers answers;
  answers.fill(std::move(text));
  return answers;
}

Answers ask(json::object ollama, json::object openai, json::object responses,
            json::object anthropic) {
  const auto what = [](const auto& read) { return read ? "" : read.error().what; };
  for (json::object* body : {&ollama, &openai, &responses, &anthropic}) (*body)["model"] = "m";
  anthropic["max_tokens"] = 1;
  return {what(read_chat_request(ollama)), what(parse_chat_completion(openai)),
          what(parse_responses(responses)),
          what(parse_messages_request(anthropic, MessagesUse::generate))};
}

// One message with so many images, on Anthropic's in a tool's result.
Answers ask_of_images(size_t count) {
  const auto list = [count](const json::value& part) { return json::array(count, part); };
  const auto message = [](std::string_view key, json::array parts) {
    json::object one{{"role", "user"}, {"content", ""}};
    one[key] = std::move(parts);
    return json::array{std::move(one)};
  };
  const json::value block = {
      {"type", "image"},
      {"source", {{"type", "base64"}, {"media_type", "image/png"}, {"data", "AAAA"}}}};
  return ask(
      {{"messages", message("images", list("AAAA"))}},
      {{"messages",
        message("content", list({{"type", "image_url"}, {"image_url", {{"url", kImage}}}}))}},
      {{"input", message("content", list({{"type", "input_image"}, {"image_url", kImage}}))}},
      {{"messages", message("content", list(block))}});
}

Answers ask_of_tools(size_t count) {
  const json::array messages = {{{"role", "user"}, {"content", "a"}}};
  const json::object function = {{"name", "f"}, {"parameters", json::object()}};
  const json::array nested(count, {{"type", "function"}, {"function", function}});
  const json::array flat(count, {{"type", "function"}, {"name", "f"}});
  const json::array named(count, {{"name", "f"}, {"input_schema", json::object()}});
  return ask({{"messages", messages}, {"tools", nested}},
             {{"messages", messages}, {"tools", nested}}, {{"input", "a"}, {"tools", flat}},
             {{"messages", messages}, {"tools", named}});
}

TEST(RequestLimits, OfImagesAreTheSameOnEveryApi) {
  EXPECT_EQ(ask_of_images(kImagesMax), all(""));
  EXPECT_EQ(ask_of_images(kImagesMax + 1), all("the request has 1025 images, more than 1024"));
}

TEST(RequestLimits, OfToolsAreTheSameOnEveryApi) {
  EXPECT_EQ(ask_of_tools(kToolsMax)[0], "");
  EXPECT_EQ(ask_of_tools(kToolsMax + 1), all("'tools' has 1025 entries, more than 1024"));
}

TEST(RequestLimits, OfMessagesAreTheSameOnEveryApi) {
  const json::array messages(kMessagesMax + 1, {{"role", "user"}, {"content", "a"}});
  Answers expected = all("'messages' has 16385 entries, more than 16384");
  expected[2] = "'input' has 16385 entries, more than 16384";
  EXPECT_EQ(ask({{"messages", messages}}, {{"messages", messages}}, {{"input", messages}},
                {{"messages", messages}}),
            expected);
}

TEST(RequestLimits, OfToolCallsAreOfAllMessagesTogether) {
  model::Message one{.role = "assistant"};
  one.tool_calls.resize(kCallsMax / 2);
  std::vector<model::Message> messages(2, one);
  EXPECT_TRUE(check_messages(messages));
  messages[0].tool_calls.emplace_back();
  const auto refused = check_messages(messages);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::invalid_argument);
  EXPECT_EQ(refused.error().what, "the request has 16385 tool calls, more than 16384");
}

TEST(RequestLimits, CountTheMessagesThatPartsBecome) {
  const json::array results(kMessagesMax + 1,
                            {{"type", "tool_result"}, {"tool_use_id", "i"}, {"content", "a"}});
  const json::array messages = {{{"role", "user"}, {"content", results}}};
  const auto read = parse_messages_request(
      {{"model", "m"}, {"max_tokens", 1}, {"messages", messages}}, MessagesUse::generate);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().what, "'messages' has 16385 entries, more than 16384");
}

TEST(RequestLimits, OfAPromptsImagesAnswer400) {
  OllamaNode node;
  node.shelf.add("m");
  const json::object body{
      {"model", "m"}, {"prompt", "a"}, {"images", json::array(kImagesMax + 1, "")}};
  const KeptResponse reply = node.post("/api/generate", json::serialize(body));
  EXPECT_EQ(reply.status, 400);
  EXPECT_NE(reply.body.find("the request has 1025 images, more than 1024"), reply.body.npos);
}

}  // namespace
}  // namespace om::api
