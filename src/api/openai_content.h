// Messages and tools in OpenAI's shape, as /v1/chat/completions takes them. Pure functions; errors
// are invalid_argument with a text for the caller.
#pragma once

#include <boost/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "api/openai_fields.h"
#include "base/result.h"
#include "model/chat.h"

namespace om::api {

// The parts of one message stay one message: texts are joined by a newline, images and audio keep
// their places among them. Roles "developer" and "function" become "system" and "tool". A tool
// message without a name takes it from the call that it answers.
Result<std::vector<model::Message>> parse_openai_messages(const boost::json::array& messages);

// Adds one part ({"type":"text"|"image_url"|"input_audio"|"refusal",...}) to a message. Of a file
// the model is told that it cannot be read: a refusal would end the conversation.
Result<void> add_openai_part(const Fields& part, model::Message& message);

// Checks the list and returns it in the shape the chat templates want.
Result<std::vector<boost::json::value>> parse_openai_tools(const boost::json::array& tools);

// "auto", "none", "required", {"type":"function","function":{"name":...}}; also the Responses API's
// {"type":"function","name":...}. A named function must be among `tools`. With
// {"type":"allowed_tools",...} of either API, takes tools that it does not name out of `tools`, and
// returns its mode.
// Source: https://platform.openai.com/docs/api-reference/chat/create#chat-create-tool_choice
Result<std::string> take_openai_tool_choice(const boost::json::value& choice,
                                            std::vector<boost::json::value>& tools);

// none -> off, minimal -> low, xhigh and ultra -> max; empty: not set. Ignored by models that
// cannot think, since clients have one setting for all models.
Result<model::Think> parse_reasoning_effort(std::string_view effort);

// Arguments of an earlier call as the text of a JSON object, which templates want. Null pointer,
// null and an empty text give {}. Anything but an object, or the text of one, becomes the member
// "arguments" of one, so that the conversation goes on.
std::string past_arguments(const boost::json::value* given);

// The name of a tool or tool choice; empty if it has none.
std::string_view tool_function_name(const boost::json::value& tool);

// Fills in tool_name of tool messages from the calls with the same id.
void name_tool_results(std::vector<model::Message>& messages);

// data:image/png;base64,... : the bytes. An http URL is refused: this server fetches nothing.
Result<std::string> decode_image_url(std::string_view url);

}  // namespace om::api
