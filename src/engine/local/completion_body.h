// Our completion request as the JSON body of llama-server's POST /completion.
#pragma once

#include <string>

#include "base/result.h"
#include "engine/engine.h"

namespace om::engine {

// `context_length` bounds the output of a request that must not shift its context.
// invalid_argument: the schema is not JSON.
Result<std::string> completion_body(const CompletionRequest& request, int context_length);

std::string base64(std::string_view bytes);

// JSON text of a string, quotes included.
void append_quoted(std::string& out, std::string_view text);
void append_tokens(std::string& out, const std::vector<Token>& tokens);

}  // namespace om::engine
