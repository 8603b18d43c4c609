// Any JSON object as a body of the OpenAI and Anthropic routes: parsed or refused, never worse.
#include <cstdint>

#include "api/anthropic_request.h"
#include "api/json_input.h"
#include "api/openai_request.h"
#include "api/responses_request.h"
#include "base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace om::api;
  auto value = parse_json({reinterpret_cast<const char*>(data), size});
  if (!value || !value->is_object()) return 0;
  const boost::json::object& body = value->get_object();
  if (auto chat = parse_chat_completion(body)) {
    CHECK(!chat->request.messages.empty());
    CHECK(chat->choices >= 1 && chat->choices <= kChoicesMax);
  }
  if (auto completion = parse_completion(body)) CHECK(!completion->prompts.empty());
  if (auto embeddings = parse_embeddings(body)) CHECK(!embeddings->request.input.empty());
  if (auto call = parse_responses(body)) CHECK(!call->request.messages.empty());
  for (MessagesUse use : {MessagesUse::generate, MessagesUse::count_tokens}) {
    auto request = parse_messages_request(body, use);
    if (!request) continue;
    CHECK(!request->messages.empty());
    CHECK(estimate_input_tokens(*request) >= 0);
  }
  return 0;
}
