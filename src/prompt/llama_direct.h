// A prompt by rendering a template once. llama-common's own way renders it some dozens of times,
// because it finds out each time anew what the template's answers look like; that costs
// milliseconds and depends on everything but the messages.
//
// Throws what the library throws; private to the llama_*.cpp files of this room.
#pragma once

#include <chat.h>

#include <memory>
#include <optional>
#include <string>

namespace om::prompt::llama {

// Immutable; from any thread.
class DirectRenderer {
 public:
  // Nothing for the templates that the library changes conversations for: only it renders those.
  static std::optional<DirectRenderer> make(const std::string& text, const std::string& bos_token,
                                            const std::string& eos_token);

  // What common_chat_templates_apply() makes of a conversation that does not continue a message.
  std::string render(const common_chat_templates_inputs& inputs) const;

 private:
  explicit DirectRenderer(std::shared_ptr<const common_chat_template> compiled)
      : template_(std::move(compiled)) {}

  std::shared_ptr<const common_chat_template> template_;
};

}  // namespace om::prompt::llama
