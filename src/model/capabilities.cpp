#include "model/capabilities.h"

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

bool contains(std::string_view text, std::string_view part) { return text.find(part) != text.npos; }

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
  std::vector<bool> blocks;  // Of each open block: is it a range over the messages?
  for (size_t at = text.find("{{"); at != text.npos; at = text.find("{{")) {
    text.remove_prefix(at + 2);
    std::string action = take_action(text);
    std::string_view word = first_word(action);
    bool messages = names_field(action, ".Messages");
    features.messages |= messages;
    features.tools |= names_field(action, ".Tools");
    features.insert |= names_field(action, ".Suffix");
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
  return features;
}

std::vector<std::string> find_capabilities(const CapabilityFacts& facts) {
  std::vector<std::string> found;
  const GgufSummary& weights = facts.weights;
  found.emplace_back(weights.has_pooling ? "embedding" : "completion");
  if (weights.has_vision || facts.projector_vision) found.emplace_back("vision");
  if (weights.has_audio || facts.projector_audio) found.emplace_back("audio");
  if (weights.has_pooling) return found;

  bool tools = false;
  bool insert = false;
  bool thinking = false;
  if (facts.go_template) {
    TemplateFeatures features = go_template_features(*facts.go_template);
    tools = features.tools;
    insert = features.insert;
    thinking = features.thinking;
  } else {
    std::string_view jinja = weights.chat_template;
    tools = contains(jinja, "tools") || contains(jinja, "tool_call") ||
            !weights.chat_template_tools.empty();
    thinking = contains(jinja, "<think>") && contains(jinja, "</think>");
  }
  const auto* parser = std::ranges::find(kParsers, facts.parser, &ParserFeatures::name);
  if (parser != std::end(kParsers)) {
    tools |= parser->tools;
    thinking |= parser->thinking;
  }
  // These think whatever their template says: its tags are those of the harmony format.
  thinking |= weights.architecture == "gpt-oss" || weights.architecture == "gptoss";
  if (tools) found.emplace_back("tools");
  if (insert) found.emplace_back("insert");
  if (thinking) found.emplace_back("thinking");
  return found;
}

}  // namespace om::model
