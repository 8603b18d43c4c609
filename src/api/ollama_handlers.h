// The handlers of Ollama's routes; register_ollama() binds them. Each reads one request and sends
// its answer; errors they return become Ollama's error bodies. `dependencies` outlives the call.
#pragma once

#include "api/api.h"

namespace om::api {

using HandlerResult = io::Task<Result<void>>;

HandlerResult handle_generate(const Dependencies& dependencies, Context& context);
HandlerResult handle_chat(const Dependencies& dependencies, Context& context);
HandlerResult handle_embed(const Dependencies& dependencies, Context& context);
HandlerResult handle_embeddings(const Dependencies& dependencies, Context& context);
HandlerResult handle_tags(const Dependencies& dependencies, Context& context);
HandlerResult handle_ps(const Dependencies& dependencies, Context& context);
// The loads that run, here or on other nodes, with their progress. Not a route of Ollama's.
HandlerResult handle_loads(const Dependencies& dependencies, Context& context);
HandlerResult handle_show(const Dependencies& dependencies, Context& context);
HandlerResult handle_pull(const Dependencies& dependencies, Context& context);
HandlerResult handle_push(const Dependencies& dependencies, Context& context);
HandlerResult handle_create(const Dependencies& dependencies, Context& context);
HandlerResult handle_copy(const Dependencies& dependencies, Context& context);
HandlerResult handle_delete(const Dependencies& dependencies, Context& context);
HandlerResult handle_blob_head(const Dependencies& dependencies, Context& context);
HandlerResult handle_blob_post(const Dependencies& dependencies, Context& context);

}  // namespace om::api
