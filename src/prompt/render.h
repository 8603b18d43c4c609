// From a model's chat template and a request to the prompt text, the constraint on the answer and
// the way to parse it. Covers Go templates (Ollama's TEMPLATE layers) and the jinja of a GGUF.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/chat.h"
#include "prompt/answer_parser.h"
#include "prompt/constraint.h"

namespace om::prompt {

inline constexpr size_t kTemplateBytesMax = 512 * 1024;
inline constexpr size_t kPromptBytesMax = 64 * 1024 * 1024;

// All that is known about a model's template.
struct TemplateSource {
  std::string go;            // TEMPLATE layer, or the request's own; empty: none.
  bool go_required = false;  // The request's own `template`: jinja is not considered.
  std::string jinja;         // tokenizer.chat_template of the GGUF; empty: none.
  std::string jinja_tools;   // Its tool_use variant; empty: none.
  std::string bos_token, eos_token;
  std::string renderer, parser;  // Names in the model's config.
  bool prefer_jinja = false;     // OLLAMA_GO_TEMPLATE=0.
};

struct TemplateCapabilities {
  bool tools = false, thinking = false;
  bool insert = false;  // Takes a suffix.
};

// A conversation to render. `messages` is complete: stored messages and the model's SYSTEM are
// already in it. A trailing assistant message is continued, not echoed.
struct ChatInput {
  std::vector<model::Message> messages;
  std::vector<boost::json::value> tools;
  std::string tool_choice;  // "", "auto", "none", "required", or a function's name.
  bool parallel_tool_calls = true;
  model::Think think;
  model::Format format;
  std::string media_marker;  // Put before a message's text, once for each of its images.
  int64_t now_seconds = 0;   // Unix time, for templates that name the date.
  std::string said;          // What was answered already, as content: the prompt ends behind it.
};

struct GenerateInput {
  std::string prompt, suffix, system;
  std::vector<model::Message> history;  // The model's stored messages.
  std::string context_text;             // Detokenized `context`, put before the new prompt.
  size_t images = 0;
  model::Think think;
  model::Format format;
  std::string media_marker;
  int64_t now_seconds = 0;
  std::string said;
};

struct Rendered {
  std::string prompt;  // Special tokens as text; may or may not begin with BOS.
  Constraint constraint;
  std::vector<std::string> stops;  // To be added to the caller's.
  AnswerFormat answer;
  bool one_call = false;  // The answer is to end with its first call: the template takes no more.
};

// One model's template, compiled. Immutable; use it from any thread, keep it as long as the model.
class Template {
 public:
  enum class Kind {
    go,
    jinja,
    none,  // Neither: chat takes ChatML, generate the bare prompt, as Ollama does.
  };
  virtual ~Template() = default;
  virtual Kind kind() const = 0;
  virtual const TemplateCapabilities& capabilities() const = 0;
  virtual const std::string& text() const = 0;  // What `show` prints.
  virtual const std::string& note() const = 0;  // Why this one was chosen, for the log; or empty.

  // invalid_argument: the template refuses these messages, or the schema, tools or tool_choice are
  // wrong. unsupported: tools or thinking levels this template cannot express.
  virtual Result<Rendered> chat(const ChatInput& input) const = 0;
  virtual Result<Rendered> generate(const GenerateInput& input) const = 0;
  // The prompt is the client's own text as it stands. If the model is to think and a Go template
  // shows how it does, the answer is taken apart all the same. invalid_argument: the schema.
  virtual Result<Rendered> raw(const GenerateInput& input) const = 0;
};

// invalid_argument: "template: :1: ..." (Go syntax) or the jinja error. unsupported: the config
// names a renderer or parser we do not have and there is no jinja to fall back to.
Result<std::shared_ptr<const Template>> make_template(TemplateSource source);

// The text() of the template that make_template() would make of a sound source, which is not read:
// to compile a GGUF's template is to run it.
std::string chosen_text(const TemplateSource& source);

// Made once and remembered by the digest of its source (at most `entries_max`, least recently used
// out).
class TemplateCache {
 public:
  explicit TemplateCache(size_t entries_max = 64);
  ~TemplateCache();
  TemplateCache(const TemplateCache&) = delete;
  TemplateCache& operator=(const TemplateCache&) = delete;
  Result<std::shared_ptr<const Template>> get(const TemplateSource& source);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Checks the text of a Go template (TEMPLATE of a Modelfile, `template` of a request).
Result<void> check_go_template(std::string_view text);

// Takes `<think>...</think>` out of assistant turns before the last user message; Ollama does so
// for qwen3 and deepseek-r1.
void remove_past_thinking(std::vector<model::Message>& messages);

}  // namespace om::prompt
