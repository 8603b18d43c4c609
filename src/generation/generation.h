// One request from its model's name to parsed chunks: finds the model, leases an engine, renders
// the prompt, streams tokens and parses thinking, tool calls and content out of them.
// One per node, on the io thread.
#pragma once

#include <memory>
#include <string>

#include "generation/record.h"
#include "io/world.h"
#include "model/chat.h"
#include "scheduler/scheduler.h"
#include "store/store.h"

namespace om::generation {

// What happened to a request besides its text; told in response headers.
struct Route {
  std::string node;  // Name of the node that answers.
  int attempts = 1;
  int resumed = 0;
  // Of the prompt, for want of room in the context: "messages=12", "tokens=300". Empty: nothing.
  std::string left_out = {};
};

// A running answer. Destroying it before its end cancels the generation.
class Answer {
 public:
  virtual ~Answer() = default;
  // After a chunk with `done` it must not be asked again.
  virtual io::Task<Result<model::Chunk>> next() = 0;
  // The next chunk if it is here already, so that chunks that came in one read can leave in one
  // write. nullopt: next() would wait, or gives the last chunk.
  virtual std::optional<Result<model::Chunk>> ready() { return std::nullopt; }
  // Whether the last chunk that was given out came from the record kept under the request's key:
  // only then its client may have it already.
  virtual bool was_kept() const { return false; }
  virtual const Route& route() const = 0;
  // Tokens of the prompt and of the answer so far, for an engine that continues it. 0: not known.
  virtual model::Usage counted() const { return {}; }
};

using Decision = std::shared_ptr<scheduler::PlacementDecision>;  // Never null.

// Errors before the first chunk carry Ollama's own texts: not_found "model 'x' not found",
// invalid_argument "... does not support tools", overloaded "server busy, ...".
class Generation {
 public:
  virtual ~Generation() = default;
  virtual io::Task<Result<std::unique_ptr<Answer>>> chat(model::ChatRequest request,
                                                         io::Call call) = 0;
  virtual io::Task<Result<std::unique_ptr<Answer>>> generate(model::GenerateRequest request,
                                                             io::Call call) = 0;
  virtual io::Task<Result<model::Embedding>> embed(model::EmbedRequest request, io::Call call) = 0;
  // Tokens of the rendered prompt (Anthropic's count_tokens). Loads the model if needed.
  virtual io::Task<Result<int64_t>> count_tokens(model::ChatRequest request, io::Call call) = 0;
  // Where the request would go now, and at which cost; nothing is run. Errors as of chat() and
  // generate().
  virtual Result<Decision> dry_run(const model::ChatRequest& request) = 0;
  virtual Result<Decision> dry_run(const model::GenerateRequest& request) = 0;
  // As Scheduler::explain().
  virtual std::string explain(const std::string& request_id) const = 0;
};

struct GenerationOptions {
  std::string node_name;
  int default_context = 0;     // OLLAMA_CONTEXT_LENGTH; 0: automatic.
  bool prefer_jinja = false;   // OLLAMA_GO_TEMPLATE=0.
  bool resume = true;          // Go on with an answer whose runner died after its first token.
  Records* records = nullptr;  // Outlives the Generation. Null: no answer can be picked up.
};

std::unique_ptr<Generation> make_generation(io::World& world, store::Store& store,
                                            scheduler::Scheduler& scheduler,
                                            GenerationOptions options);

}  // namespace om::generation
