// Tools of /v1/responses: more kinds than models know. A namespace's functions and a custom tool
// are functions to the model; what it calls is told to the client as the client knows it. Pure.
// Source: https://platform.openai.com/docs/api-reference/responses/create#responses-create-tools
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "api/openai_fields.h"
#include "model/chat.h"

namespace om::api {

// As the client knows it.
struct ClientTool {
  std::string name, name_space;  // `name_space` empty: none.
  bool is_custom = false;        // It takes a text, not arguments.
};
// By the name that the model knows it by; plain functions have the same for both and are left out.
using ClientTools = std::map<std::string, ClientTool, std::less<>>;

struct ResponsesTools {
  std::vector<boost::json::value> functions;  // As in model::ChatRequest::tools.
  ClientTools client;
  std::string choice;          // As model::ChatRequest::tool_choice.
  boost::json::array as_told;  // For the reply, which repeats them.
};

// Of "tools" and "tool_choice". A search, an image or a search for tools that the service would do
// itself is left out: the model is not told of it. invalid_argument: other kinds, two of one name.
Result<ResponsesTools> parse_responses_tools(const Fields& request);

// Of a function in a namespace.
std::string name_in_space(std::string_view name_space, std::string_view name);

// A custom tool's text, as the argument of the function that stands for it, and back.
std::string custom_arguments(std::string_view input);
std::string custom_input(std::string_view arguments);

}  // namespace om::api
