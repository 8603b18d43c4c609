// Log probabilities as the OpenAI APIs write them. Pure functions.
#pragma once

#include <string>
#include <vector>

#include "model/chat.h"

namespace om::api {

// {"content":[{"token","logprob","bytes","top_logprobs":[..]}],"refusal":null}; `top_logprobs` is
// always a list, which strict clients want. Broken UTF-8 of a token shows as U+FFFD, its bytes are
// in `bytes`.
void write_chat_logprobs(std::string& out, const std::vector<model::Logprob>& logprobs);

// The list inside it, which the Responses API uses bare.
void write_logprob_list(std::string& out, const std::vector<model::Logprob>& logprobs);

// {"tokens","token_logprobs","top_logprobs","text_offset"} of /v1/completions. `offset`: where the
// first token stands in the choice's text, moved to behind the last.
void write_completion_logprobs(std::string& out, const std::vector<model::Logprob>& logprobs,
                               size_t& offset);

}  // namespace om::api
