#include "prompt/constraint.h"

#include <boost/json.hpp>
#include <boost/regex.hpp>
#include <optional>

#include "prompt/grammar.h"
#include "prompt/llama_chat.h"
#include "prompt/schema_limits.h"

namespace om::prompt {

namespace {

constexpr int kTriggerWord = 1, kTriggerPattern = 2, kTriggerPatternFull = 3;

// Where the lazy grammar starts to apply: at the first group of the pattern that caught something,
// else at its match. As llama.cpp does it.
std::optional<size_t> pattern_start(const std::string& pattern, bool full, std::string_view text) {
  try {
    boost::regex expression(pattern);
    boost::cmatch match;
    const char* begin = text.data();
    const char* end = begin + text.size();
    bool found = full ? boost::regex_match(begin, end, match, expression)
                      : boost::regex_search(begin, end, match, expression);
    if (!found) return std::nullopt;
    for (size_t i = 1; i < match.size(); ++i) {
      if (match.length(static_cast<int>(i)) > 0) {
        return static_cast<size_t>(match[static_cast<int>(i)].first - begin);
      }
    }
    return static_cast<size_t>(match[0].first - begin);
  } catch (const std::exception&) {
    return std::nullopt;  // Too complex for this text: as if it had not been triggered.
  }
}

std::optional<size_t> trigger_start(const Constraint& constraint, std::string_view text) {
  std::optional<size_t> first;
  for (const auto& trigger : constraint.grammar_triggers) {
    std::optional<size_t> at;
    if (trigger.type == kTriggerPattern || trigger.type == kTriggerPatternFull) {
      at = pattern_start(trigger.value, trigger.type == kTriggerPatternFull, text);
    } else if (trigger.type <= kTriggerWord && !trigger.value.empty()) {
      if (size_t found = text.find(trigger.value); found != text.npos) at = found;
    }
    if (at && (!first || *at < *first)) first = at;
  }
  return first;
}

}  // namespace

Constraint Constraint::resume(std::string_view generated) const {
  Constraint out = *this;
  if (grammar.empty() || generated.empty()) return out;
  if (!grammar_lazy) {
    if (out.generation_prompt.empty() && space_allowed) out.generation_prompt = " ";
    out.generation_prompt += generated;
    return out;
  }
  auto start = trigger_start(*this, generated);
  if (!start) return out;
  out.grammar_lazy = false;
  out.grammar_triggers.clear();
  out.generation_prompt = generated.substr(*start);
  return out;
}

Result<std::string> usable_schema(const std::string& schema) {
  if (schema.size() > kSchemaBytesMax) {
    return fail(Errc::invalid_argument, "JSON schema exceeds {} bytes", kSchemaBytesMax);
  }
  boost::json::parse_options options;
  options.max_depth = kSchemaDepthMax;
  boost::system::error_code code;
  const auto value = boost::json::parse(schema, code, {}, options);
  if (code) return fail(Errc::invalid_argument, "invalid JSON schema: {}", code.message());
  if (!value.is_object()) {
    return fail(Errc::invalid_argument, "invalid JSON schema: expected an object");
  }
  const auto usable = check_schema(value);
  if (usable) return schema;
  const auto simpler = without_single_all_of(value);
  if (!check_schema(simpler)) return fail(usable.error());
  return boost::json::serialize(simpler);
}

Result<std::string> format_grammar(const model::Format& format) {
  if (format.kind == model::Format::Kind::none) return std::string();
  std::string schema = R"({"type":"object"})";
  if (format.kind == model::Format::Kind::schema) {
    TRY(schema, usable_schema(format.schema));
  }
  TRY(auto grammar, llama::schema_grammar(schema));
  if (grammar.size() > kGrammarBytesMax) {
    return fail(Errc::invalid_argument, "JSON schema needs a grammar of more than {} bytes",
                kGrammarBytesMax);
  }
  return grammar;
}

}  // namespace om::prompt
