// Tools of /v1/responses, which has more kinds than models know. To the model a namespace's
// functions and custom tools are plain functions; its calls are told to the client under the
// client's names. Pure. Source:
// https://platform.openai.com/docs/api-reference/responses/create#responses-create-tools
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "api/openai_fields.h"
#include "model/chat.h"

namespace om::api {

// A tool as the client knows it.
struct ClientTool {
  std::string name, name_space;  // `name_space` empty: none.
  bool is_custom = false;        // It takes a text, not arguments.
};
// By the model's name for the tool. Plain functions have one name for both and are left out.
using ClientTools = std::map<std::string, ClientTool, std::less<>>;

struct ResponsesTools {
  std::vector<boost::json::value> functions;  // As in model::ChatRequest::tools.
  ClientTools client;
  std::string choice;          // As model::ChatRequest::tool_choice.
  boost::json::array as_told;  // As the client sent them, for the reply.
};

// Reads "tools" and "tool_choice". Leaves out tools that OpenAI's service runs itself: web search,
// images, search for tools. invalid_argument: other kinds, or two of one name.
Result<ResponsesTools> parse_responses_tools(const Fields& request);

// The model's name for a function in a namespace.
std::string name_in_space(std::string_view name_space, std::string_view name);

// A custom tool's text, as the argument of the function that stands for it, and back.
std::string custom_arguments(std::string_view input);
std::string custom_input(std::string_view arguments);

}  // namespace om::api
