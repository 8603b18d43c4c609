// Bodies of /v1/chat/completions, /v1/completions and /v1/embeddings in our own words. Pure
// functions; errors are invalid_argument with a text for the caller.
// Source: https://platform.openai.com/docs/api-reference
#pragma once

#include <boost/json.hpp>
#include <string>
#include <vector>

#include "api/openai_fields.h"
#include "base/result.h"
#include "model/chat.h"

namespace om::api {

inline constexpr int64_t kChoicesMax = 8;  // `n`: each choice is one generation.
inline constexpr size_t kPromptsMax = 64;  // Prompts of one completions request.
inline constexpr size_t kEmbeddingInputsMax = 2048;

struct ChatCompletion {
  model::ChatRequest request;
  int choices = 1;
  bool include_usage = false;  // A last streamed chunk with the usage.
};

// One generation for each prompt and choice.
struct Completion {
  model::GenerateRequest request;  // Its prompt is left empty.
  std::vector<std::string> prompts;
  int choices = 1;
  bool echo = false;
  bool include_usage = false;
};

struct Embeddings {
  model::EmbedRequest request;
  bool base64 = false;
};

Result<ChatCompletion> parse_chat_completion(const boost::json::object& body);
Result<Completion> parse_completion(const boost::json::object& body);
Result<Embeddings> parse_embeddings(const boost::json::object& body);

// "model is required" if it is absent or empty.
Result<std::string> parse_model(const Fields& fields);
// "reasoning" goes before "reasoning_effort", as in Ollama; an empty one does not count. Without
// either: Ollama's "think", or the "enable_thinking" of vLLM's and llama-server's clients.
Result<model::Think> parse_effort(const Fields& fields);
// Ollama's "keep_alive" and "options". Call before reading OpenAI's own members, which override
// options.
Result<void> parse_local_members(const Fields& fields, model::KeepAlive& keep_alive,
                                 boost::json::object& options);
// A JSON schema becomes the format; anything but an object is refused.
Result<model::Format> parse_schema(const Fields& fields, std::string_view name);
// num_predict from the first of these fields that is present; it must be positive.
Result<void> copy_token_limit(const Fields& fields, std::initializer_list<std::string_view> names,
                              boost::json::object& options);
// The request's options for choice `index`: a given seed moves on, so that choices differ.
void vary_seed(boost::json::object& options, int index);

}  // namespace om::api
