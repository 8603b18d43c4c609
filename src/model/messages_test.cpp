#include "model/messages.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace om::model {
namespace {

TEST(Messages, AreWrittenAsOllamaWritesThem) {
  Message user;
  user.role = "user";
  user.content = "a <b>";
  user.images = {"\x89PNG"};
  Message assistant;
  assistant.role = "assistant";
  assistant.tool_calls = {{"call_1", "add", R"({"z":1,"a":2})"}};
  std::string json = messages_to_json({user, assistant});
  EXPECT_EQ(json, R"([{"role":"user","content":"a \u003cb\u003e","images":["iVBORw=="]},)"
                  R"({"role":"assistant","content":"","tool_calls":[{"id":"call_1","function":)"
                  R"({"name":"add","arguments":{"z":1,"a":2}}}]}])"
                  "\n");
  auto read = parse_messages(json);
  ASSERT_TRUE(read) << read.error().what;
  EXPECT_EQ(read->at(0).images, user.images);
  EXPECT_EQ(read->at(1).tool_calls.at(0).arguments, R"({"z":1,"a":2})");
  EXPECT_EQ(messages_to_json(*read), json);
}

TEST(Messages, RefuseWhatIsNoList) {
  for (std::string_view text : {"", "{}", "[1]", R"([{"images":[1]}])", R"([{"images":["*"]}])",
                                R"([{"tool_calls":[{}]}])"}) {
    auto read = parse_messages(text);
    ASSERT_FALSE(read) << text;
    EXPECT_EQ(read.error().code, Errc::corrupt);
  }
  EXPECT_TRUE(parse_messages("null")->empty());
}

RC_GTEST_PROP(MessagesProperty, ImagesOfAnyBytesComeBack, (const std::string& image)) {
  Message message;
  message.role = "user";
  message.images = {image};
  RC_ASSERT(parse_messages(messages_to_json({message}))->at(0).images.at(0) == image);
}

}  // namespace
}  // namespace om::model
