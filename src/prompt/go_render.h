// Renders conversations with a Go template, as Ollama does. Private to this room.
#pragma once

#include <string>

#include "prompt/go_template.h"
#include "prompt/render.h"

namespace om::prompt {

// Parses a template and gives it the place for the answer if it has none.
Result<GoTemplate> parse_model_template(std::string_view text);

class GoRenderer {
 public:
  explicit GoRenderer(GoTemplate parsed);

  const TemplateCapabilities& capabilities() const { return capabilities_; }
  Result<Rendered> chat(const ChatInput& input) const;
  Result<Rendered> generate(const GenerateInput& input) const;
  Result<Rendered> raw(const GenerateInput& input) const;

 private:
  Result<std::string> render_messages(const ChatInput& input) const;
  Result<std::string> render_turns(const ChatInput& input) const;
  Result<std::string> execute(const GoTemplate& chosen, Value::Fields fields,
                              const model::Think& think, int64_t now_seconds, GoWork& work) const;
  Result<std::string> forced_call(const ChatInput& input, std::string_view tool_choice) const;
  void append_said(std::string& prompt, std::string_view said) const;
  Result<Rendered> finish(Rendered rendered, const ChatInput& input) const;

  GoTemplate template_;
  GoTemplate cut_;  // Up to the answer.
  bool names_messages_ = false;
  GoTags thinking_;
  std::string tool_tag_;
  TemplateCapabilities capabilities_;
};

}  // namespace om::prompt
