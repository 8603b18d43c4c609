// What a rendered prompt asks of the sampler. The same shape as engine::Constraint, copied there by
// `generation`, because this room must not know engines.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "model/chat.h"

namespace om::prompt {

struct Constraint {
  std::string grammar;        // GBNF; empty: none.
  bool grammar_lazy = false;  // Sleeps until a trigger appears in the output.
  struct Trigger {
    int type = 0;  // llama.cpp's common_grammar_trigger_type: 0 token, 1 word, 2 pattern, 3 full.
    std::string value;
  };
  std::vector<Trigger> grammar_triggers;
  // Special tokens the runner must show as text, or their markers would be invisible.
  std::vector<std::string> preserved_tokens;
  // End of the prompt that the grammar covers too. To resume an answer append what was generated,
  // see resume().
  std::string generation_prompt;
  bool tool_grammar = false;   // Sent as grammar_type "tool_calls", so that it is advanced.
  bool space_allowed = false;  // The grammar takes a leading space, which some tokenizers add.

  // The constraint for a runner that continues after `generated`, the whole text so far. A lazy
  // grammar that has been triggered by then becomes an eager one that starts at its trigger.
  Constraint resume(std::string_view generated) const;
};

// Bytes of a JSON schema that is accepted; a grammar made of it is larger.
inline constexpr size_t kSchemaBytesMax = 256 * 1024;
inline constexpr unsigned kSchemaDepthMax = 64;  // Of JSON, as in requests.
inline constexpr size_t kGrammarBytesMax = 4 * 1024 * 1024;

// The schema as llama.cpp's converter may be given it (schema_limits.h): as it is, or a simpler one
// that means the same. invalid_argument: not JSON, or too large, with the reason.
Result<std::string> usable_schema(const std::string& schema);

// The grammar for format "json" (any JSON object), or for a schema; empty for Format::Kind::none.
// invalid_argument: the schema is not JSON, too large or cannot be made a grammar, with the reason.
Result<std::string> format_grammar(const model::Format& format);

}  // namespace om::prompt
