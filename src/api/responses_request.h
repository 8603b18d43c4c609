// Bodies of /v1/responses in our own words. No response is stored: the caller sends the whole
// history, or refers to items (responses_items.h), which are in it when it comes here. Pure
// functions; errors are invalid_argument with a text for the caller. Source:
// https://platform.openai.com/docs/api-reference/responses/create
#pragma once

#include <boost/json.hpp>

#include "api/responses_tools.h"
#include "base/result.h"
#include "model/chat.h"

namespace om::api {

struct ResponsesCall {
  model::ChatRequest request;
  ClientTools tools;
  bool store = true;         // Later requests may refer to its items.
  boost::json::object echo;  // Repeated in the reply: instructions, temperature, tools, ...
};

Result<ResponsesCall> parse_responses(const boost::json::object& body);

// The message for the next part of an assistant's turn: the last message, if it is the assistant's
// and the part `fits` it; else a new one.
model::Message& last_turn(std::vector<model::Message>& messages, bool fits);

// The input list as messages: reasoning, text and calls of one turn become one message.
Result<std::vector<model::Message>> parse_input_items(const boost::json::array& items);

}  // namespace om::api
