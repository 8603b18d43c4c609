// Our requests in the words of foreign servers. Pure.
#pragma once

#include <boost/json.hpp>
#include <string>

#include "engine/external/backend_spec.h"
#include "model/chat.h"

namespace om::engine {

// The answer so far, by another server, from which this one is to go on.
struct Emitted {
  std::string text;
  int64_t tokens = 0;
};

// The request's options for a server that goes on: `num_predict` is reduced by what has come.
boost::json::object options_left(const model::RequestCommon& common, const Emitted& emitted);

inline constexpr std::string_view kChatTarget = "/v1/chat/completions";

struct UpstreamRequest {
  std::string target;  // "/v1/chat/completions"
  std::string body;
  std::string model;
  // Size of a prompt that tells how long it takes there; 0: it does not tell.
  int64_t text_bytes = 0;
};

// `model`: the server's name for it. unsupported: this server cannot continue an answer, fill in
// the middle or go on from token ids; the text is for people.
Result<UpstreamRequest> chat_body(BackendKind kind, std::string_view model,
                                  const model::ChatRequest& request, const Emitted& emitted);
Result<UpstreamRequest> generate_body(BackendKind kind, std::string_view model,
                                      const model::GenerateRequest& request,
                                      const Emitted& emitted);
UpstreamRequest embed_body(BackendKind kind, std::string_view model,
                           const model::EmbedRequest& request);
// corrupt: not what was asked for.
Result<model::Embedding> read_embedding(std::string_view body, size_t count);

}  // namespace om::engine
