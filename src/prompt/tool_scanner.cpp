#include "prompt/tool_scanner.h"

#include <algorithm>

#include "prompt/text.h"
#include "prompt/value.h"

namespace om::prompt {

namespace {

constexpr size_t kBeforeObjectBytesMax = 512;  // A name and markers; more is no call.
constexpr size_t kCloserBytesMax = 64;         // "</tool_call>" and the like.
constexpr std::string_view kFence = "```";
constexpr std::string_view kOpenings[] = {kFence, "</", "<|", "<｜", "[/"};

namespace json = boost::json;

// Some models write it as a string that holds its JSON.
std::optional<json::object> object_at(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  if (!value) return std::nullopt;
  if (const json::object* found = value->if_object()) return *found;
  const json::string* text = value->if_string();
  if (!text) return std::nullopt;
  boost::system::error_code code;
  json::value parsed = json::parse(*text, code);
  if (code || !parsed.is_object()) return std::nullopt;
  return std::move(parsed.get_object());
}

std::optional<json::object> arguments_in(const json::object& object) {
  auto found = object_at(object, "arguments");
  return found ? found : object_at(object, "parameters");
}

// Of those given: what a call says it calls. Command R's models say "tool_name".
std::optional<std::string> name_in(const json::object& object,
                                   const std::vector<std::string>& names) {
  for (const std::string_view key : {"name", "tool_name", "function"}) {
    const json::value* said = object.if_contains(key);
    if (!said || !said->is_string()) continue;
    std::string name(said->get_string());
    if (std::ranges::find(names, name) != names.end()) return name;
  }
  return std::nullopt;
}

std::string print(const json::object& object) {
  return Value::from_json(json::value(object)).json();
}

// Gathers the calls to the tools `names` that an object holds, maybe deep inside or in lists.
class CallSearch {
 public:
  explicit CallSearch(const std::vector<std::string>& names) : names_(names) {}

  void look_into(const json::value& value, int depth = 0) {  // NOLINT(misc-no-recursion)
    if (depth > kDepthMax) return;
    if (const json::array* list = value.if_array()) {
      for (const json::value& item : *list) look_into(item, depth + 1);
    } else if (const json::object* object = value.if_object()) {
      if (take(*object)) return;
      for (const auto& field : *object) look_into(field.value(), depth + 1);
    }
  }
  std::vector<model::ToolCall> calls;

 private:
  static constexpr int kDepthMax = 8;

  // {"name": "f", "arguments": {...}} or {"f": {...}}.
  bool take(const json::object& object) {
    const auto name = name_in(object, names_);
    const auto arguments = name ? arguments_in(object) : std::nullopt;
    if (arguments) {
      calls.push_back({{}, *name, print(*arguments)});
      return true;
    }
    const size_t before = calls.size();
    for (const auto& field : object) {
      if (std::ranges::find(names_, std::string_view(field.key())) == names_.end()) continue;
      if (auto found = object_at(object, field.key())) {
        calls.push_back({{}, std::string(field.key()), print(*found)});
      }
    }
    return calls.size() > before;
  }

  const std::vector<std::string>& names_;
};

// Length of a closing marker or separator at the start of the text; 0: there is none. nullopt: more
// text is needed to say. `fenced`: the call's object stands in a code fence that is still open.
std::optional<size_t> closer(std::string_view text, std::string_view tag, bool fenced, bool ended) {
  if (text.empty()) return std::nullopt;
  if (text[0] == ',' || text[0] == ']' || text[0] == ';' || text[0] == '}') return 1;
  if (text.starts_with(tag)) return 0;
  if (!ended && tag.starts_with(text)) return std::nullopt;
  for (const std::string_view open : kOpenings) {
    if (open == kFence && !fenced) continue;
    if (!ended && text.size() < open.size() && open.starts_with(text)) return std::nullopt;
    if (!text.starts_with(open)) continue;
    if (open == kFence) return kFence.size();
    const size_t end = text.substr(0, kCloserBytesMax).find(open[0] == '<' ? '>' : ']');
    if (end != text.npos) return end + 1;
    if (text.size() < kCloserBytesMax && !ended) return std::nullopt;
  }
  return 0;
}

// Whether nothing but marks and an opened fence stands there, as between a tool's name and its
// object: `[ARGS]`, `": `, "\n```json\n".
bool is_markup(std::string_view text) {
  constexpr std::string_view kMarks = " \t\r\n\"':,=(`";
  while (true) {
    const size_t next = text.find_first_not_of(kMarks);
    if (next == text.npos) return true;
    const bool fenced = text.substr(0, next).ends_with(kFence);
    text.remove_prefix(next);
    size_t length = text.npos;
    if (text[0] == '<' || text[0] == '[') {
      length = text.find(text[0] == '<' ? '>' : ']');
      if (length != text.npos) length++;
    } else if (fenced) {
      length = text.find_first_of("\r\n");
    }
    if (length == text.npos) return false;
    text.remove_prefix(length);
  }
}

// Whether the text, which an object follows, ends with a known name and marks.
bool ends_with_name(std::string_view text, const std::vector<std::string>& names) {
  return std::ranges::any_of(names, [&](const std::string& name) {
    const size_t at = text.rfind(name);
    return at != text.npos && is_markup(text.substr(at + name.size()));
  });
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
      visible_ || std::string_view(held_).substr(0, bytes).find_first_not_of(kBlanks) != held_.npos;
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
    at = held_.find_first_not_of(kBlanks);
    if (at != held_.npos && held_[at] != tag_[0]) at = held_.npos;
  }
  if (at == held_.npos) {
    give_up(held_.size() - keep);
    return false;
  }
  give_up(at);
  begin_call(bare_tag() ? 0 : tag_.size());  // A bare tag is itself part of the JSON.
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
  auto calls =
      calls_in(text.substr(object_, end - object_), text.substr(prefix_, object_ - prefix_));
  if (calls.empty()) {
    give_up(end);
    return;
  }
  for (model::ToolCall& call : calls) calls_.push_back(std::move(call));
  fenced_ = fenced_ || text.substr(0, object_).find(kFence) != text.npos;
  held_.erase(0, end);
  visible_ = true;
  state_ = State::after_call;
}

std::vector<model::ToolCall> ToolScanner::calls_in(std::string_view object,
                                                   std::string_view before) const {
  boost::system::error_code code;
  const json::value value = json::parse(object, code);
  if (code || !value.is_object()) return {};
  CallSearch search(names_);
  search.look_into(value);
  if (!search.calls.empty()) return std::move(search.calls);
  const json::object& fields = value.get_object();
  // {"name": "f"} alone: a call without arguments.
  const auto said = name_in(fields, names_);
  if (said && fields.size() == 1) return {{{}, *said, "{}"}};
  for (const auto& name : names_) {
    if (before.find(name) == before.npos) continue;
    const auto arguments = arguments_in(fields);
    return {{{}, name, print(arguments && fields.size() == 1 ? *arguments : fields)}};
  }
  return {};
}

// Behind a call: another one, with or without its own tag, or content again.
bool ToolScanner::search_more() {
  size_t start = held_.find_first_not_of(kBlanks);
  if (start == held_.npos) {
    if (ended_) held_.clear();
    return false;
  }
  std::string_view text = std::string_view(held_).substr(start);
  auto closing = closer(text, tag_, fenced_, ended_);
  if (!closing) return false;
  if (*closing > 0) {
    if (text.starts_with(kFence)) fenced_ = false;
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
    if (bare_tag()) {
      state_ = State::content;
      return true;
    }
    return search_name(start);
  }
  held_.erase(0, start);
  begin_call(tagged && !bare_tag() ? tag_.size() : 0);
  return true;
}

// Behind a call with a tag: another one may begin with words, as "function" and a separator.
bool ToolScanner::search_name(size_t start) {
  const std::string_view text = std::string_view(held_).substr(start);
  const size_t brace = text.substr(0, kBeforeObjectBytesMax).find('{');
  if (brace == text.npos && text.size() < kBeforeObjectBytesMax && !ended_) return false;
  const std::string_view words = text.substr(0, brace);
  if (brace == text.npos || words.find(tag_) != words.npos || !ends_with_name(words, names_)) {
    state_ = State::content;
    return true;
  }
  held_.erase(0, start);
  begin_call(0);
  return true;
}

void ToolScanner::begin_call(size_t prefix) {
  state_ = State::call;
  prefix_ = prefix;
  scanned_ = prefix;
  depth_ = 0;
  in_string_ = escaped_ = false;
}

}  // namespace om::prompt
