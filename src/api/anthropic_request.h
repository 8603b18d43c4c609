// Bodies of /v1/messages and /v1/messages/count_tokens in our own words. Pure functions; errors are
// invalid_argument with a text for the caller.
// Source: https://docs.anthropic.com/en/api/messages
#pragma once

#include <boost/json.hpp>

#include "base/result.h"
#include "model/chat.h"

namespace om::api {

// Counting needs no max_tokens.
enum class MessagesUse { generate, count_tokens };

Result<model::ChatRequest> parse_messages_request(const boost::json::object& body, MessagesUse use);

// Characters of the prompt divided by four: the input tokens in message_start, before the runner
// has counted them.
int64_t estimate_input_tokens(const model::ChatRequest& request);

}  // namespace om::api
