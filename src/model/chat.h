// What is asked of a model and what it answers, in our own words. The APIs (Ollama, OpenAI,
// Anthropic) are translated to these at the edge; nothing behind the edge sees their JSON.
// Plain values: copy, move and use them from any thread.
#pragma once

#include <boost/json.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/options.h"

namespace om::model {

struct ToolCall {
  std::string id;  // "call_" and 8 of [a-z0-9]; empty in requests that had none.
  std::string name;
  std::string arguments;  // A JSON object as text, key order as the model or client wrote it.
};

struct Message {
  std::string role;  // Lower case: system, user, assistant, tool, or any other word.
  std::string content;
  std::string thinking;
  std::vector<std::string> images;  // Raw bytes (image or audio), base64 already taken off.
  // Where each of them stands in `content`, in bytes, ascending. Of another length than `images`:
  // it was not told.
  std::vector<size_t> image_places;
  std::vector<ToolCall> tool_calls;
  std::string tool_name;
  std::string tool_call_id;

  // Behind what `content` holds so far.
  void add_image(std::string bytes) {
    image_places.push_back(content.size());
    images.push_back(std::move(bytes));
  }
};

// Whether the model should think before it answers.
struct Think {
  bool is_set = false;
  bool enabled = false;
  std::string level;     // "low", "medium", "high", "max", or empty.
  bool if_able = false;  // A model that cannot is to answer without, rather than to refuse.
};

// The shape the answer must have.
struct Format {
  enum class Kind { none, json, schema } kind = Kind::none;
  std::string schema;  // JSON text, for Kind::schema.
};

struct LogprobRequest {
  bool enabled = false;
  int top = 0;  // 0..20 alternatives per token.
};

// keep_alive of a request: how long the runner stays loaded after its last request.
struct KeepAlive {
  std::optional<std::chrono::nanoseconds> duration;  // Absent: leave as it is. Negative: forever.
};

// How a request stands among others that wait for a slot.
struct Standing {
  std::string key;     // Whose it is: a hash of the client's credential. Empty: it gave none.
  double weight = 1;   // Of the key against others.
  bool batch = false;  // Lets others pass.
  std::optional<std::chrono::nanoseconds> patience;  // Longest time it may wait for its turn.
  bool forwarded = false;  // By one who has us as a backend: not to be passed on again.
};

// The parts that chat and generate share.
struct RequestCommon {
  std::string id;               // Of the request, for logs and explanations. Empty: none.
  std::string model;            // As the client wrote it; echoed in the reply.
  boost::json::object options;  // Not yet checked; see Options::apply.
  Format format;
  Think think;
  LogprobRequest logprobs;
  KeepAlive keep_alive;
  Standing standing;
  bool stream = true;
  bool truncate = true;
  std::optional<bool> shift;
  bool debug_render_only = false;
  std::string said;  // What somebody else answered already: it is gone on from there.
  // Under which the answer is kept, so that its client can pick it up again, and what tells the
  // request. Empty: it is not kept.
  std::string record, record_fingerprint;
};

struct ChatRequest {
  RequestCommon common;
  std::vector<Message> messages;
  std::vector<boost::json::value> tools;  // OpenAI shape: {"type":"function","function":{...}}.
  std::string tool_choice;                // "", "auto", "none", "required", or a function's name.
  bool parallel_tool_calls = true;

  bool asks_nothing() const { return messages.empty(); }  // A wish to load or unload the model.
};

struct GenerateRequest {
  RequestCommon common;
  std::string prompt;
  std::string suffix;
  std::string system, template_text;  // Empty, as some clients always send them: the model's own.
  std::vector<int32_t> context;  // Token ids of an earlier reply (deprecated by Ollama, honoured).
  std::vector<std::string> images;
  bool raw = false;

  bool asks_nothing() const { return prompt.empty() && images.empty() && suffix.empty(); }
};

struct EmbedRequest {
  std::string model;
  std::vector<std::string> input;
  boost::json::object options;
  KeepAlive keep_alive;
  Standing standing;
  bool truncate = true;
  int dimensions = 0;     // 0: all.
  bool normalize = true;  // /api/embeddings does not.
};

struct TopLogprob {
  std::string token;
  double logprob = 0;
};

struct Logprob {
  std::string token;  // Raw bytes; may be part of a character.
  double logprob = 0;
  std::vector<TopLogprob> top;
};

enum class DoneReason { stop, length, load, unload };

struct Usage {
  int64_t prompt_tokens = 0;         // Whole prompt, cached part included.
  int64_t prompt_cached_tokens = 0;  // Of these, found in the runner's cache.
  int64_t output_tokens = 0;
  int64_t reasoning_tokens = 0;  // Of these, up to the end of the thinking.
  std::chrono::nanoseconds total{}, load{}, prompt_eval{}, eval{};
};

// One piece of an answer. The last one has `done`.
struct Chunk {
  std::string content;
  std::string thinking;
  std::vector<ToolCall> tool_calls;  // Complete calls.
  std::vector<Logprob> logprobs;

  bool done = false;
  DoneReason reason = DoneReason::stop;
  std::string stop_sequence;     // The caller's stop string that ended it, if one did.
  std::vector<int32_t> context;  // Token ids of prompt and output (generate only).
  Usage usage;
  std::string rendered_prompt;  // Only for debug_render_only.
};

struct Embedding {
  std::string node;  // That made it; empty: this one.
  std::vector<std::vector<float>> vectors;
  int64_t prompt_tokens = 0;
  size_t texts_cut = 0;  // To what the model reads at once.
  std::chrono::nanoseconds total{}, load{};
};

}  // namespace om::model
