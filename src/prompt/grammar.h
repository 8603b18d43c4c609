// Grammars put around the one of a JSON schema. GBNF:
// https://github.com/ggml-org/llama.cpp/blob/master/grammars/README.md. Private to this room.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "prompt/go_template.h"

namespace om::prompt {

// Puts the prefix before the name of each rule, so that several grammars can stand together.
std::string with_rules_named(const std::string& grammar, std::string_view prefix);
std::string grammar_literal(std::string_view text);  // Of UTF-8.

// What one of two grammars takes, each with a rule "root".
std::string either_grammar(const std::string& first, const std::string& second);

// Makes `grammar` (with a rule "root") accept white space first, because a resumed prefill may need
// it; with tags also a thought before it, which is free of any form. `open` says that the prompt
// ends inside the thought.
std::string answer_grammar(const std::string& grammar, const GoTags& tags, bool open);

// llama.cpp's grammar of a tool call that must come, without the free text that it allows before
// it: small models talk there until they are cut. Any other grammar stays as it is.
std::string call_grammar(std::string grammar);
// Whether it lets free text come right before a call, as some of those do.
bool talks_before_call(const std::string& grammar);

}  // namespace om::prompt
