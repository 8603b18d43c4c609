// Our requests in the words of foreign servers. Pure.
#pragma once

#include <boost/json.hpp>
#include <string>

#include "engine/external/backend_spec.h"
#include "model/chat.h"

namespace om::engine {

// What was answered already, by another one, and is to be gone on from.
struct Emitted {
  std::string text;
  int64_t tokens = 0;
};

// The request's options for who goes on: `num_predict` is what may still come.
boost::json::object options_left(const model::RequestCommon& common, const Emitted& emitted);

inline constexpr std::string_view kChatTarget = "/v1/chat/completions";

struct UpstreamRequest {
  std::string target;  // "/v1/chat/completions"
  std::string body;
  std::string model;
  // Of a prompt whose size tells how long it takes there; 0: it does not.
  int64_t text_bytes = 0;
};

// `model`: the name it has there. unsupported: this server cannot do it (continue an answer, fill
// in the middle, go on from token ids), said for people.
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
