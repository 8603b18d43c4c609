// An engine turns a prompt into a stream of tokens: a llama-server child (local/), another node
// (remote/), a child with parts on other nodes (split/). All of it runs on the io thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/network.h"
#include "io/task.h"
#include "model/chat.h"
#include "model/options.h"

namespace om::engine {

using Token = int32_t;

// What constrains the answer: made by the room `prompt` for llama-server's /completion.
struct Constraint {
  std::string json_schema;  // Or a grammar, not both. Empty: none.
  std::string grammar;      // GBNF.
  bool grammar_lazy = false;
  struct Trigger {
    int type = 0;
    std::string value;
  };
  std::vector<Trigger> grammar_triggers;
  std::vector<std::string> preserved_tokens;
  std::string generation_prompt;  // Text already emitted that the grammar must be advanced over.
  bool tool_grammar = false;      // Sent as grammar_type "tool_calls".
};

// How far a runner is with a prompt. Cached tokens are in neither count.
struct PromptProgress {
  int64_t evaluated = 0, left = 0;
  std::chrono::nanoseconds time{};  // Since the runner began with the prompt.
};

struct CompletionRequest {
  std::string prompt;              // Rendered text with special tokens in it; or, if not empty:
  std::vector<Token> tokens;       // the prompt as token ids (BOS included).
  std::vector<std::string> media;  // Raw bytes, in the order of the media markers in `prompt`.
  model::Sampling sampling;        // num_predict already bounded.
  Constraint constraint;
  int logprobs = -1;  // Alternatives per token; negative: no log probabilities.
  bool shift = true;
  std::string id;  // Of the request, for logs.
  // Called while the prompt is evaluated, by engines of this node only.
  std::function<void(const PromptProgress&)> on_prompt_progress;
};

// What one event of the stream brought. The text ends with a whole UTF-8 character.
struct Piece {
  std::string text;
  std::vector<Token> tokens;  // May be empty while a character is incomplete.
  std::vector<model::Logprob> logprobs;
  int64_t output_tokens = 0;  // Produced so far. If more than the ids sent, some ids are missing.

  bool done = false;   // The reply is complete; the fields below hold.
  bool limit = false;  // Ended by num_predict or a full context.
  std::string stop_word;
  int64_t prompt_tokens = 0, cached_tokens = 0;
  std::chrono::nanoseconds prompt_time{}, output_time{};
};

// A running completion. Destroying it before its end cancels the generation.
class Completion {
 public:
  virtual ~Completion() = default;
  // After a piece with `done` it must not be asked again. unavailable: the runner died or was
  // wedged. cancelled, deadline_exceeded: as the call said.
  virtual io::Task<Result<Piece>> next() = 0;
  // The next piece if it is here already; nullopt: next() would wait.
  virtual std::optional<Result<Piece>> ready() { return std::nullopt; }
};

struct EmbeddingResult {
  std::vector<float> vector;
  int64_t tokens = 0;
};

// Properties of a loaded model, as its engine tells them.
struct Properties {
  int context_length = 0;    // Tokens one request may use, prompt and output.
  int slots = 0;             // Requests it works on at once.
  std::string media_marker;  // Stands for one image in a prompt; empty: no media.
  bool vision = false, audio = false;
  bool embedding = false;
  uint64_t resident_bytes = 0;
};

// A loaded model that answers requests, up to properties().slots at once; the scheduler sees to
// that. Completions must be gone before their engine.
class Engine {
 public:
  virtual ~Engine() = default;
  virtual const Properties& properties() const = 0;
  // invalid_argument: the request does not fit (too long, bad grammar), with the runner's own
  // words; unavailable: the runner is gone.
  virtual io::Task<Result<std::unique_ptr<Completion>>> complete(CompletionRequest request,
                                                                 io::Call call) = 0;
  virtual io::Task<Result<EmbeddingResult>> embed(std::vector<Token> tokens, bool normalize,
                                                  io::Call call) = 0;
  // Special tokens in the text are recognised; add_special puts BOS/EOS as the model wants them.
  virtual io::Task<Result<std::vector<Token>>> tokenize(std::string text, bool add_special,
                                                        io::Call call) = 0;
  virtual io::Task<Result<std::string>> detokenize(std::vector<Token> tokens, io::Call call) = 0;
  // The address of a running part of another node's model; nullopt: the engine runs a model.
  virtual std::optional<io::Endpoint> part_endpoint() const { return std::nullopt; }
};

}  // namespace om::engine
