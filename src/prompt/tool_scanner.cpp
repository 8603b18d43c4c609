#include "prompt/tool_scanner.h"

#include <algorithm>

#include "prompt/value.h"

namespace om::prompt {

namespace {

constexpr std::string_view kSpace = " \t\r\n";
constexpr size_t kBeforeObjectBytesMax = 512;  // A name and markers; more is no call.
constexpr size_t kCloserBytesMax = 64;         // "</tool_call>" and the like.

const boost::json::object* object_at(const boost::json::object& object, std::string_view key) {
  const auto* value = object.if_contains(key);
  return value ? value->if_object() : nullptr;
}

// The arguments of the call to `name` that the object holds, maybe deep inside.
const boost::json::object* arguments_of(const boost::json::object& object, std::string_view name,
                                        int depth) {
  if (depth <= 0) return nullptr;
  const auto* said = object.if_contains("name");
  if (said && said->is_string() && said->get_string() == name) {
    if (const auto* found = object_at(object, "arguments")) return found;
    if (const auto* found = object_at(object, "parameters")) return found;
  }
  if (const auto* found = object_at(object, name)) return found;
  for (const auto& field : object) {
    if (const auto* inner = field.value().if_object()) {
      if (const auto* found = arguments_of(*inner, name, depth - 1)) return found;
    }
  }
  return nullptr;
}

std::string print(const boost::json::object& object) {
  return Value::from_json(boost::json::value(object)).json();
}

// Length of a closing marker or separator at the start of the text; 0: there is none. nullopt: more
// text is needed to say.
std::optional<size_t> closer(std::string_view text, std::string_view tag, bool ended) {
  if (text.empty()) return std::nullopt;
  if (text[0] == ',' || text[0] == ']' || text[0] == ';' || text[0] == '}') return 1;
  char close = text[0] == '<' ? '>' : text[0] == '[' ? ']' : '\0';
  if (close == '\0' || text.starts_with(tag)) return 0;
  if (!ended && tag.starts_with(text)) return std::nullopt;
  if (text.size() == 1) return ended ? std::optional<size_t>(0) : std::nullopt;
  // Only a marker that closes: </x>, <|x|>, [/x].
  if (text[1] != '/' && !(text[0] == '<' && text[1] == '|')) return 0;
  size_t end = text.substr(0, kCloserBytesMax).find(close);
  if (end != text.npos) return end + 1;
  if (text.size() >= kCloserBytesMax || ended) return 0;
  return std::nullopt;
}

}  // namespace

size_t overlap(std::string_view text, std::string_view tag) {
  for (size_t length = std::min(text.size(), tag.size() - 1); length > 0; --length) {
    if (text.ends_with(tag.substr(0, length))) return length;
  }
  return 0;
}

ToolScanner::ToolScanner(std::string tag, std::vector<std::string> names)
    : tag_(std::move(tag)), names_(std::move(names)) {
  // Of two names the longer one is tried first, so that a prefix does not win.
  std::sort(names_.begin(), names_.end(), [](const std::string& a, const std::string& b) {
    return a.size() != b.size() ? a.size() > b.size() : a < b;
  });
}

void ToolScanner::feed(std::string_view text) {
  if (tag_.empty()) {
    content_ += text;
    return;
  }
  held_ += text;
  while (advance()) {
  }
}

void ToolScanner::finish() {
  if (tag_.empty()) return;
  ended_ = true;
  while (advance()) {
  }
  content_ += std::exchange(held_, {});
}

bool ToolScanner::advance() {
  if (held_.empty()) return false;
  switch (state_) {
    case State::content:
      return search_tag();
    case State::call:
      return search_object();
    case State::after_call:
      return search_more();
  }
  return false;
}

// Gives the first bytes held out as content and goes on behind them.
void ToolScanner::give_up(size_t bytes) {
  visible_ =
      visible_ || std::string_view(held_).substr(0, bytes).find_first_not_of(kSpace) != held_.npos;
  content_ += held_.substr(0, bytes);
  held_.erase(0, bytes);
  state_ = State::content;
}

bool ToolScanner::search_tag() {
  size_t at = held_.npos;
  size_t keep = 0;
  if (!bare_tag()) {
    at = held_.find(tag_);
    keep = overlap(held_, tag_);
  } else if (!visible_) {
    at = held_.find_first_not_of(kSpace);
    if (at != held_.npos && held_[at] != tag_[0]) at = held_.npos;
  }
  if (at == held_.npos) {
    give_up(held_.size() - keep);
    return false;
  }
  give_up(at);
  state_ = State::call;
  // A bare tag is itself part of the JSON.
  prefix_ = bare_tag() ? 0 : tag_.size();
  scanned_ = prefix_;
  depth_ = 0;
  in_string_ = escaped_ = false;
  return true;
}

bool ToolScanner::search_object() {
  while (scanned_ < held_.size()) {
    char c = held_[scanned_++];
    if (depth_ == 0) {
      if (c == '{') {
        object_ = scanned_ - 1;
        depth_ = 1;
      } else if (scanned_ - prefix_ > kBeforeObjectBytesMax) {
        give_up(scanned_);
        return true;
      }
      continue;
    }
    if (escaped_) {
      escaped_ = false;
    } else if (in_string_) {
      escaped_ = c == '\\';
      in_string_ = c != '"';
    } else if (c == '"') {
      in_string_ = true;
    } else if (c == '{') {
      ++depth_;
    } else if (c == '}' && --depth_ == 0) {
      accept_object(scanned_);
      return true;
    }
  }
  return false;
}

void ToolScanner::accept_object(size_t end) {
  std::string_view text = held_;
  auto call = call_in(text.substr(object_, end - object_), text.substr(prefix_, object_ - prefix_));
  if (!call) {
    give_up(end);
    return;
  }
  calls_.push_back(std::move(*call));
  held_.erase(0, end);
  visible_ = true;
  state_ = State::after_call;
}

std::optional<model::ToolCall> ToolScanner::call_in(std::string_view object,
                                                    std::string_view before) const {
  constexpr int kDepthMax = 8;
  boost::system::error_code code;
  auto value = boost::json::parse(object, code);
  if (code || !value.is_object()) return std::nullopt;
  const auto& fields = value.get_object();
  for (const auto& name : names_) {
    if (const auto* arguments = arguments_of(fields, name, kDepthMax)) {
      return model::ToolCall{{}, name, print(*arguments)};
    }
    // {"name": "f"} alone: a call without arguments.
    const auto* said = fields.if_contains("name");
    if (said && said->is_string() && said->get_string() == name && fields.size() == 1) {
      return model::ToolCall{{}, name, "{}"};
    }
  }
  for (const auto& name : names_) {
    if (before.find(name) == before.npos) continue;
    const auto* arguments = object_at(fields, "arguments");
    if (!arguments) arguments = object_at(fields, "parameters");
    return model::ToolCall{{}, name, print(arguments && fields.size() == 1 ? *arguments : fields)};
  }
  return std::nullopt;
}

// Behind a call: another one, with or without its own tag, or content again.
bool ToolScanner::search_more() {
  size_t start = held_.find_first_not_of(kSpace);
  if (start == held_.npos) {
    if (ended_) held_.clear();
    return false;
  }
  std::string_view text = std::string_view(held_).substr(start);
  auto closing = closer(text, tag_, ended_);
  if (!closing) return false;
  if (*closing > 0) {
    held_.erase(0, start + *closing);
    return true;
  }
  bool tagged = text.starts_with(tag_);
  bool named = std::any_of(names_.begin(), names_.end(),
                           [&](const std::string& name) { return text.starts_with(name); });
  bool maybe = std::any_of(names_.begin(), names_.end(), [&](const std::string& name) {
    return std::string_view(name).starts_with(text);
  });
  if (!tagged && !named && text[0] != '{' && text[0] != '[') {
    if (!ended_ && (maybe || std::string_view(tag_).starts_with(text))) return false;
    state_ = State::content;
    return true;
  }
  held_.erase(0, start);
  state_ = State::call;
  prefix_ = tagged && !bare_tag() ? tag_.size() : 0;
  scanned_ = prefix_;
  depth_ = 0;
  in_string_ = escaped_ = false;
  return true;
}

}  // namespace om::prompt
