#include <cstddef>
#include <cstdint>
#include <string_view>

#include "api/json_input.h"
#include "api/ollama_request.h"
#include "base/base64.h"

// Any bytes are a request or a refusal, for every kind of body.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto body = om::api::parse_json(text);
  if (!body) return body.error().what.empty() ? __builtin_trap(), 1 : 0;
  (void)om::api::read_chat_request(*body);
  (void)om::api::read_generate_request(*body);
  (void)om::api::read_embed_request(*body);
  (void)om::api::read_embeddings_request(*body);
  (void)om::base64_decode(text);
  return 0;
}
