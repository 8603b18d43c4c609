#include "base/strings.h"
#include "prompt/go_program.h"
#include "prompt/text.h"

namespace om::prompt {

namespace {

using go::Node;
using go::Nodes;
using go::Operand;
using go::Pipe;

bool mentions(const Pipe& pipe, std::string_view name) {
  for (const auto& command : pipe.commands) {
    for (const auto& operand : command.operands) {
      if (operand.kind == Operand::Kind::variable && operand.name.size() > 1 &&
          iequals(std::string_view(operand.name).substr(1), name)) {
        return true;
      }
      for (const auto& field : operand.fields) {
        if (iequals(field, name)) return true;
      }
      if (operand.pipe && mentions(*operand.pipe, name)) return true;
    }
  }
  return false;
}

bool mentions(const Nodes& nodes, std::string_view name) {
  for (const auto& node : nodes) {
    if (node->pipe && mentions(*node->pipe, name)) return true;
    if (mentions(node->body, name) || mentions(node->otherwise, name)) return true;
  }
  return false;
}

// Copies the nodes up to and with the first that uses the field.
Nodes cut(const Nodes& nodes, std::string_view field, bool& done) {
  Nodes kept;
  for (const auto& node : nodes) {
    if (done) break;
    if (node->kind == Node::Kind::text || node->kind == Node::Kind::action) {
      kept.push_back(node);
      done = node->pipe && mentions(*node->pipe, field);
      continue;
    }
    auto copy = std::make_shared<Node>(*node);
    copy->body = cut(node->body, field, done);
    copy->otherwise = cut(node->otherwise, field, done);
    kept.push_back(std::move(copy));
  }
  return kept;
}

// Of the marker `<...>` or `[...]` that the text begins with; 0: it begins with none.
size_t marker_size(std::string_view text) {
  if (!text.starts_with('<') && !text.starts_with('[')) return 0;
  return text.find(text[0] == '<' ? '>' : ']') + 1;  // npos + 1 is 0.
}

// The marker next to the thinking text: its last word, and of glued <a><b> only the nearer one.
std::string last_marker(std::string_view text) {
  text = trim_blanks(text);
  if (size_t space = text.find_last_of(" \t\r\n"); space != text.npos)
    text.remove_prefix(space + 1);
  if (text.ends_with('>')) {
    if (size_t open = text.rfind('<'); open != text.npos) text.remove_prefix(open);
  }
  return std::string(text);
}

std::string first_marker(std::string_view text) {
  text = trim_blanks(text);
  text = text.substr(0, text.find_first_of(" \t\r\n"));
  const size_t marker = marker_size(text);
  return std::string(marker > 0 ? text.substr(0, marker) : text);
}

// Whether the action prints the field itself, not only tests it.
bool prints(const Node& node, std::string_view field) {
  if (node.kind != Node::Kind::action || !node.pipe->variables.empty()) return false;
  const Operand& operand = node.pipe->commands[0].operands[0];
  return !operand.fields.empty() && operand.fields.back() == field;
}

void find_thinking(const Nodes& nodes, bool in_messages, GoTags& tags) {
  for (size_t i = 0; i < nodes.size() && tags.empty(); ++i) {
    const Node& node = *nodes[i];
    if (in_messages && prints(node, "Thinking")) {
      if (i > 0 && nodes[i - 1]->kind == Node::Kind::text) {
        tags.open = last_marker(nodes[i - 1]->text);
      }
      if (i + 1 < nodes.size() && nodes[i + 1]->kind == Node::Kind::text) {
        tags.close = first_marker(nodes[i + 1]->text);
      }
      continue;
    }
    bool inside =
        in_messages || (node.kind == Node::Kind::range && mentions(*node.pipe, "Messages"));
    find_thinking(node.body, inside, tags);
    if (tags.empty()) find_thinking(node.otherwise, inside, tags);
  }
}

// That is not blank and stands before whatever is printed: what comes behind the calls is no tag.
const Node* first_text(const Nodes& nodes) {
  for (const auto& node : nodes) {
    switch (node->kind) {
      case Node::Kind::text:
        if (!trim_blanks(node->text).empty()) return node.get();
        break;
      case Node::Kind::action:
        return nullptr;
      case Node::Kind::if_:
      case Node::Kind::range:
      case Node::Kind::with: {
        const Node* found = first_text(node->body);
        return found ? found : first_text(node->otherwise);
      }
      case Node::Kind::template_:
      case Node::Kind::break_:
      case Node::Kind::continue_:
        break;
    }
  }
  return nullptr;
}

// Some templates begin the model's turn in the branch of the calls, which its answer never repeats.
std::string_view behind_header(std::string_view text) {
  constexpr std::string_view kRole = "assistant";
  const size_t header = marker_size(text);
  if (header == 0 || !text.substr(header).starts_with(kRole)) return text;
  text.remove_prefix(header + kRole.size());
  return trim_blanks(text.substr(marker_size(text)));
}

const Node* tool_calls_branch(const Nodes& nodes) {
  for (const auto& node : nodes) {
    if (node->kind == Node::Kind::if_ && mentions(*node->pipe, "ToolCalls")) return node.get();
    if (const Node* found = tool_calls_branch(node->body)) return found;
    if (const Node* found = tool_calls_branch(node->otherwise)) return found;
  }
  return nullptr;
}

}  // namespace

bool GoTemplate::mentions(std::string_view name) const {
  for (const auto& [_, nodes] : program_->templates) {
    if (prompt::mentions(nodes, name)) return true;
  }
  return false;
}

GoTemplate GoTemplate::cut_after(std::string_view field) const {
  Program program = *program_;
  bool done = false;
  Nodes& main = program.templates[""];
  main = cut(main, field, done);
  return GoTemplate(std::make_shared<const Program>(std::move(program)));
}

GoTags GoTemplate::thinking_tags() const {
  GoTags tags;
  for (const auto& [_, nodes] : program_->templates) {
    find_thinking(nodes, false, tags);
    if (!tags.empty()) return tags;
  }
  return {};
}

std::string GoTemplate::tool_call_tag() const {
  const Node* branch = nullptr;
  for (const auto& [_, nodes] : program_->templates) {
    branch = tool_calls_branch(nodes);
    if (branch) break;
  }
  const Node* text = branch ? first_text(branch->body) : nullptr;
  if (!text) return "{";
  std::string_view tag = text->text;
  tag = behind_header(trim_blanks(tag.substr(0, tag.find('{'))));
  // Of `[TOOL_CALLS] [` the runner shows the first part only if it is asked for by itself, being
  // one token; and models differ in what they put behind it.
  if (const size_t marker = marker_size(tag); marker > 0) tag = tag.substr(0, marker);
  return tag.empty() ? "{" : std::string(tag);
}

}  // namespace om::prompt
