#include "model/capabilities.h"

#include <fmt/format.h>

#include <algorithm>

namespace om::model {
namespace {

struct ParserFeatures {
  std::string_view name;
  bool tools, thinking;
};

// Ollama's built-in parsers that we know; of an unknown one we promise nothing.
constexpr ParserFeatures kParsers[] = {
    {"qwen3", true, false},
    {"qwen3-thinking", true, true},
    {"qwen3.5", true, true},
    {"qwen3-coder", true, false},
    {"qwen3-vl-instruct", true, false},
    {"qwen3-vl-thinking", true, true},
    {"ministral", true, false},
    {"harmony", true, true},
    {"cogito", true, true},
    {"deepseek3", true, true},
    {"olmo3", true, false},
    {"olmo3-think", false, true},
    {"nemotron-3-nano", true, true},
    {"functiongemma", true, false},
    {"glm-4.7", true, true},
    {"lfm2", true, false},
    {"lfm2-thinking", true, true},
};

bool contains_any(std::string_view text, std::initializer_list<std::string_view> parts) {
  return std::ranges::any_of(parts, [text](std::string_view part) { return text.contains(part); });
}

// Thoughts are known by their tags. Templates of old, as DeepSeek R1's, only cut them out of
// earlier answers; llama.cpp tells them apart there all the same.
bool has_thoughts(std::string_view jinja) {
  if (jinja.contains("<think>") && jinja.contains("</think>")) return true;
  return jinja.contains("content.split('</think>')") &&
         !contains_any(jinja, {"reasoning_content", "<SPECIAL_12>"});
}

bool has_round_trip(std::string_view jinja) {
  return contains_any(jinja, {"tool_calls", "assistant_tool_call"}) &&
         contains_any(jinja, {"tool_response", "tool_results", "ipython", "role'] == 'tool'",
                              "role'] == \"tool\"", "role\"] == 'tool'", "role\"] == \"tool\"",
                              "message.role == 'tool'", "message.role == \"tool\""});
}

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

// True if the action names the field, as .Field or $.Field or .X.Field.
bool names_field(std::string_view action, std::string_view field) {
  for (size_t at = action.find(field); at != action.npos; at = action.find(field, at + 1)) {
    size_t end = at + field.size();
    if (end == action.size() || !is_word(action[end])) return true;
  }
  return false;
}

// The text of an action without string literals; `text` starts behind "{{" and is moved behind
// "}}" (or to the end).
std::string take_action(std::string_view& text) {
  std::string action;
  char quote = 0;
  size_t i = 0;
  for (; i < text.size(); i++) {
    char c = text[i];
    if (quote != 0) {
      if (c == '\\' && quote == '"') i++;
      if (c == quote) quote = 0;
    } else if (c == '"' || c == '`') {
      quote = c;
      action += ' ';
    } else if (text.substr(i).starts_with("/*")) {
      size_t end = text.find("*/", i);
      i = end == text.npos ? text.size() - 1 : end + 1;
    } else if (text.substr(i).starts_with("}}")) {
      break;
    } else {
      action += c;
    }
  }
  text.remove_prefix(std::min(text.size(), i + 2));
  return action;
}

std::string_view first_word(std::string_view action) {
  size_t start = action.find_first_not_of(" \t\r\n-");
  if (start == action.npos) return {};
  size_t end = start;
  while (end < action.size() && is_word(action[end])) end++;
  return action.substr(start, end - start);
}

}  // namespace

TemplateFeatures go_template_features(std::string_view text) {
  TemplateFeatures features;
  const std::string_view whole = text;
  bool calls = false;
  std::vector<bool> blocks;  // Of each open block: is it a range over the messages?
  for (size_t at = text.find("{{"); at != text.npos; at = text.find("{{")) {
    text.remove_prefix(at + 2);
    std::string action = take_action(text);
    std::string_view word = first_word(action);
    bool messages = names_field(action, ".Messages");
    features.messages |= messages;
    features.tools |= names_field(action, ".Tools");
    features.insert |= names_field(action, ".Suffix");
    calls |= names_field(action, ".ToolCalls");
    bool inside = std::ranges::find(blocks, true) != blocks.end();
    features.thinking |= inside && names_field(action, ".Thinking");
    if (word == "range") {
      blocks.push_back(messages);
    } else if (word == "if" || word == "with" || word == "block" || word == "define") {
      blocks.push_back(false);
    } else if (word == "end" && !blocks.empty()) {
      blocks.pop_back();
    }
  }
  features.round_trip = features.tools && calls &&
                        contains_any(whole, {"eq .Role \"tool\"", "tool_response", "TOOL_RESULTS"});
  return features;
}

TemplateFeatures jinja_features(std::string_view text, std::string_view for_tools) {
  TemplateFeatures features;
  features.tools = !for_tools.empty() || text.contains("tools") || text.contains("tool_call");
  features.thinking = has_thoughts(text) || contains_any(text, {"enable_thinking", "<|channel|>"});
  features.round_trip = features.tools && has_round_trip(for_tools.empty() ? text : for_tools);
  return features;
}

bool is_harmony(std::string_view go_template) {
  return go_template.contains("<|start|>") && go_template.contains("<|channel|>");
}

namespace {

// By Ollama's count of what each can do. A mere switch for thoughts is none: what has it off unless
// asked, as Cogito's, would think for everybody.
bool does_more(std::string_view jinja, std::string_view for_tools, std::string_view go) {
  const auto count = [](const TemplateFeatures& of) { return of.tools + of.insert + of.thinking; };
  const TemplateFeatures old = go_template_features(go);
  TemplateFeatures own = jinja_features(jinja, for_tools);
  own.thinking = has_thoughts(jinja);
  if (count(own) > count(old)) return own.round_trip || !old.round_trip;
  const bool same = own.thinking == old.thinking && own.insert == old.insert;
  return same && own.tools && old.tools && own.round_trip && !old.round_trip;
}

}  // namespace

std::string reason_for_jinja(const TemplateFacts& facts) {
  std::string built_in;
  if (!facts.renderer.empty()) built_in = fmt::format("renderer '{}'", facts.renderer);
  if (!facts.parser.empty()) {
    built_in += fmt::format("{}parser '{}'", built_in.empty() ? "" : " and ", facts.parser);
  }
  if (built_in.empty() && is_harmony(facts.go)) built_in = "the harmony format";
  if (!built_in.empty()) return built_in + " is not built in";
  if (facts.jinja.empty()) return "";
  if (facts.go.empty()) return "the GGUF's template is the only one";
  if (facts.prefer_jinja) return "Go templates are switched off";
  if (!does_more(facts.jinja, facts.jinja_tools, facts.go)) return "";
  return "the GGUF's template can do more than the Go template";
}

std::vector<std::string> find_capabilities(const CapabilityFacts& facts) {
  std::vector<std::string> found;
  const GgufSummary& weights = facts.weights;
  found.emplace_back(weights.has_pooling ? "embedding" : "completion");
  if (weights.has_vision || facts.projector_vision) found.emplace_back("vision");
  if (weights.has_audio || facts.projector_audio) found.emplace_back("audio");
  if (weights.has_pooling) return found;

  const TemplateFeatures of_go = go_template_features(facts.go_template);
  const bool uses_jinja = !weights.chat_template.empty() &&
                          !reason_for_jinja({.go = facts.go_template,
                                             .jinja = weights.chat_template,
                                             .jinja_tools = weights.chat_template_tools,
                                             .renderer = facts.renderer,
                                             .parser = facts.parser})
                               .empty();
  TemplateFeatures used = of_go;
  if (uses_jinja) used = jinja_features(weights.chat_template, weights.chat_template_tools);
  bool tools = used.tools;
  bool thinking = used.thinking;
  const auto* parser = std::ranges::find(kParsers, facts.parser, &ParserFeatures::name);
  if (parser != std::end(kParsers)) {
    tools |= parser->tools;
    thinking |= parser->thinking;
  }
  // These think whatever their template says: its tags are those of the harmony format.
  thinking |= weights.architecture == "gpt-oss" || weights.architecture == "gptoss";
  if (tools) found.emplace_back("tools");
  if (of_go.insert) found.emplace_back("insert");
  if (thinking) found.emplace_back("thinking");
  return found;
}

}  // namespace om::model
