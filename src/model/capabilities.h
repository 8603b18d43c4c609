// What a model can do, told from its files: what show and tags list and what requests are checked
// against. Pure functions; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/gguf.h"

namespace om::model {

struct CapabilityFacts {
  const GgufSummary& weights;
  bool projector_vision = false, projector_audio = false;  // Of the projectors beside it.
  std::string_view parser = {};                            // Of the config.
  std::optional<std::string_view> go_template = {};        // Absent: the GGUF's jinja is used.
};

// Of "completion" or "embedding", "vision", "audio", "tools", "insert", "thinking", in this order.
std::vector<std::string> find_capabilities(const CapabilityFacts& facts);

// Which capabilities a Go template shows by the fields it names. Works on the text alone; comments
// and string literals inside actions do not count.
struct TemplateFeatures {
  bool tools = false;     // .Tools
  bool insert = false;    // .Suffix
  bool thinking = false;  // .Thinking inside a range over .Messages
  bool messages = false;  // .Messages
};
TemplateFeatures go_template_features(std::string_view text);

}  // namespace om::model
