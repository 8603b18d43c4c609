// Log probabilities as the OpenAI APIs write them. Pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/chat.h"

namespace om::api {

// {"content":[{"token","logprob","bytes","top_logprobs":[..]}],"refusal":null}; `top_logprobs` is
// always a list, as strict clients want. Broken UTF-8 of a token becomes U+FFFD; `bytes` has its
// bytes.
void write_chat_logprobs(std::string& out, const std::vector<model::Logprob>& logprobs);

// The list inside it, which the Responses API uses bare.
void write_logprob_list(std::string& out, const std::vector<model::Logprob>& logprobs);

// Code points of a text or of a piece of one.
size_t count_characters(std::string_view text);

// {"tokens","token_logprobs","top_logprobs","text_offset"} of /v1/completions. `offset`: the first
// token's place in the choice's text, in characters; moved behind the last token.
void write_completion_logprobs(std::string& out, const std::vector<model::Logprob>& logprobs,
                               size_t& offset);

}  // namespace om::api
