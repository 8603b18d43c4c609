// From a model's name in a request to what is needed to run it: lookup, capabilities, options.
// Pure functions over the store; on the io thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "generation/generation.h"
#include "prompt/render.h"

namespace om::generation {

using ModelPointer = std::shared_ptr<const store::Model>;

enum class Purpose { chat, generate, embed };

// Store::learn() of what the client wrote: before find_model(), whose "not found" is final.
io::Task<void> learn(store::Store& store, std::string asked);

// `asked` as the client wrote it. Ollama's own texts, which differ by purpose:
// invalid_argument: "model is required" (chat, embed), "invalid model name". not_found: unknown,
// or no name at all (generate). forbidden: a ":cloud" name.
Result<ModelPointer> find_model(store::Store& store, std::string_view asked, Purpose purpose);

// invalid_argument `"x" does not support chat`: an embedding model; unsupported the other way
// round.
Result<void> check_purpose(const store::Model& model, std::string_view asked, Purpose purpose);

// invalid_argument: "<full name> does not support tools", or, for thinking, `"x" does not ...`.
Result<void> require(bool supported, const store::Model& model, std::string_view capability);

// Defaults, then the model's params, then the request's. `default_context` is used when none of
// them names num_ctx; 0: left to the scheduler.
Result<model::Options> merge_options(const store::Model& model, const boost::json::object& request,
                                     int default_context);

// Absent means "yes" for a model that thinks. `thinks`: the model or its template can.
// invalid_argument: asked of a model that cannot.
Result<model::Think> settle_think(const model::Think& asked, bool thinks, const store::Model& model,
                                  std::string_view name);

// Said of a request with nothing to answer: its model is to leave memory.
bool is_unload(const model::KeepAlive& keep_alive);

scheduler::Target make_target(const ModelPointer& pointer, const model::RunnerOptions& runner);

scheduler::AcquireOptions make_acquire(const model::KeepAlive& keep_alive,
                                       const model::Standing& standing);

// `own` is the request's template; null pointer: the model's.
prompt::TemplateSource template_source(const store::Model& model, const std::string* own,
                                       bool prefer_jinja);

}  // namespace om::generation
