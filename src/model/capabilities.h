// What a model can do, told from its files: what show and tags list and what requests are checked
// against. Pure functions; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/gguf.h"

namespace om::model {

struct CapabilityFacts {
  const GgufSummary& weights;
  bool projector_vision = false, projector_audio = false;  // Of the projectors beside it.
  std::string_view renderer = {}, parser = {};             // Of the config.
  std::string_view go_template = {};                       // Empty: none.
};

// Those of the template that prompts are written with; "insert" also where only the Go template has
// it, for that one is used then. Of "completion" or "embedding", "vision", "audio", "tools",
// "insert", "thinking", in this order.
std::vector<std::string> find_capabilities(const CapabilityFacts& facts);

// Which capabilities a Go template shows by the fields it names. Works on the text alone; comments
// and string literals inside actions do not count.
struct TemplateFeatures {
  bool tools = false;       // .Tools
  bool insert = false;      // .Suffix
  bool thinking = false;    // .Thinking inside a range over .Messages
  bool messages = false;    // .Messages
  bool round_trip = false;  // Besides tools, calls of them and their results.
};
TemplateFeatures go_template_features(std::string_view text);

// A jinja template and its variant for tools; either may be empty.
TemplateFeatures jinja_features(std::string_view text, std::string_view for_tools);

// What a model brings to have its prompts written with.
struct TemplateFacts {
  std::string_view go, jinja, jinja_tools;  // Empty: none.
  std::string_view renderer, parser;        // Of the config.
  bool prefer_jinja = false;
};

// Why the jinja is to be used although there may be a Go template; empty: it is not. A reason that
// names the renderer, the parser or a format is one against the Go template even without a jinja.
std::string reason_for_jinja(const TemplateFacts& facts);

// The channel format of gpt-oss, which has no tags that a Go template would show.
bool is_harmony(std::string_view go_template);

}  // namespace om::model
