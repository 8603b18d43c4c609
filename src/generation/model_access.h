// From a model's name in a request to what a run needs: lookup, capabilities, options. Functions
// over the store without state; on the io thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "generation/generation.h"
#include "prompt/render.h"

namespace om::generation {

using ModelPointer = std::shared_ptr<const store::Model>;

enum class Purpose { chat, generate, embed };

// Store::learn() for the name as the client wrote it. Call before find_model(), whose not_found is
// final.
io::Task<void> learn(store::Store& store, std::string asked);

// `asked`: the name as the client wrote it. Errors have Ollama's own texts, which differ by
// purpose. invalid_argument: "model is required" (chat, embed), "invalid model name". not_found:
// unknown, or no name at all (generate). forbidden: a ":cloud" name.
Result<ModelPointer> find_model(store::Store& store, std::string_view asked, Purpose purpose);

// invalid_argument `"x" does not support chat`: an embedding model. unsupported: the reverse.
Result<void> check_purpose(const store::Model& model, std::string_view asked, Purpose purpose);

// invalid_argument: "<full name> does not support tools", or, for thinking, `"x" does not ...`.
Result<void> require(bool supported, const store::Model& model, std::string_view capability);

// Defaults, then the model's params, then the request's. `default_context`: if none of them names
// num_ctx; 0: left to the scheduler.
Result<model::Options> merge_options(const store::Model& model, const boost::json::object& request,
                                     int default_context);

// If `asked` is absent, a model that can think does. `thinks`: the model or its template can.
// invalid_argument: thinking is asked of a model that cannot, and not only if it is able.
Result<model::Think> settle_think(const model::Think& asked, bool thinks, const store::Model& model,
                                  std::string_view name);

// Whether a request with nothing to answer asks to unload its model.
bool is_unload(const model::KeepAlive& keep_alive);

scheduler::Target make_target(const ModelPointer& pointer, const model::RunnerOptions& runner);

scheduler::AcquireOptions make_acquire(const model::KeepAlive& keep_alive,
                                       const model::Standing& standing);

// `own` is the request's template; null pointer: the model's.
prompt::TemplateSource template_source(const store::Model& model, const std::string* own,
                                       bool prefer_jinja);

}  // namespace om::generation
