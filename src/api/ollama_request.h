// Ollama's request bodies, from JSON to the words of `model`. Pure functions; on any thread.
#pragma once

#include <boost/json.hpp>
#include <string>
#include <vector>

#include "api/json_input.h"
#include "model/chat.h"

namespace om::api {

// invalid_argument: a wrong type, in Go's words, or a value out of its range.
Result<model::ChatRequest> read_chat_request(const boost::json::value& body);
Result<model::GenerateRequest> read_generate_request(const boost::json::value& body);
Result<model::EmbedRequest> read_embed_request(const boost::json::value& body);
Result<model::EmbedRequest> read_embeddings_request(const boost::json::value& body);

// A member that holds messages, as in chat and create.
std::vector<model::Message> read_messages(ObjectReader& reader, std::string_view name);

// "model", or "name" from older clients.
std::string read_model_name(ObjectReader& reader);

}  // namespace om::api
