// Answers to jinja templates. llama-common parses the whole text each time; its state is the text.
#include <algorithm>

#include "prompt/answer_format.h"
#include "prompt/stop_matcher.h"
#include "prompt/value.h"

namespace om::prompt {

namespace {

// Up to this many bytes every piece is parsed at once; after that only when the new part is at
// least this fraction of the whole, so that a long answer costs O(n log n) and not O(n^2).
constexpr size_t kParseAlwaysBytes = 8 * 1024;
constexpr size_t kParseFraction = 1024;

// Letters and what stands among them in prose. No blank or line at the end: those may belong to a
// marker.
bool is_prose(std::string_view text) {
  if (text.empty() || text.back() == ' ') return false;
  return std::ranges::all_of(text, [](char c) { return llama::is_prose_character(c); });
}

bool is_object(const std::string& text) {
  boost::system::error_code code;
  auto value = boost::json::parse(text, code);
  return !code && value.is_object();
}

std::string_view without_trailing_space(std::string_view text) {
  size_t last = text.find_last_not_of(" \t\r\n");
  return last == text.npos ? std::string_view() : text.substr(0, last + 1);
}

std::string_view without_leading_space(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  return text;
}

class JinjaAnswerParser : public AnswerParser {
 public:
  JinjaAnswerParser(std::shared_ptr<const llama::OutputParser> parser, ToolCallId ids)
      : parser_(std::move(parser)), ids_(std::move(ids)) {}

  Result<AnswerDelta> feed(std::string_view text) override {
    if (text.size() > kAnswerBytesMax - text_.size()) {
      return fail(Errc::overloaded, "the answer exceeds {} bytes", kAnswerBytesMax);
    }
    const bool all_parsed = parsed_bytes_ == text_.size();
    text_ += text;
    if (prose_goes_to_ && all_parsed && is_prose(text)) return pass_on(text);
    prose_goes_to_ = nullptr;
    size_t whole = text_.size() - incomplete_utf8_tail(text_);
    size_t fresh = whole - parsed_bytes_;
    if (fresh == 0 || (whole > kParseAlwaysBytes && fresh * kParseFraction < whole)) {
      return AnswerDelta{};
    }
    parsed_bytes_ = whole;
    auto parsed = parser_->parse(text_.substr(0, whole), true);
    // A text that does not fit yet may fit later; finish() decides.
    if (!parsed) return AnswerDelta{};
    AnswerDelta delta = difference(*parsed, false);
    if (parser_->markers_are_signs() && is_prose(text)) note_where_prose_goes(text, delta);
    return delta;
  }

  Result<AnswerDelta> finish() override {
    auto parsed = parser_->parse(text_, false);
    if (parsed && calls_whole(*parsed)) return difference(*parsed, true);
    // The answer was cut off or went astray: give what can be understood of it, then the rest as
    // it is, so that nothing the model said is lost.
    auto part = parser_->parse(text_, true);
    AnswerDelta delta;
    if (part) delta = difference(*part, true);
    delta.content += rest_after_given();
    return delta;
  }

  bool called_tools() const override { return calls_ > 0; }

 private:
  // Where all markers begin with a sign, prose right behind prose that came out as it went in comes
  // out the same way: nothing was held back before the first piece, for that begins with a sign or
  // is space, and what is given out begins there. Most of an answer is spared the parsing.
  void note_where_prose_goes(std::string_view text, const AnswerDelta& delta) {
    if (!delta.tool_calls.empty()) return;
    if (delta.content == text && delta.thinking.empty()) prose_goes_to_ = &content_;
    if (delta.thinking == text && delta.content.empty()) prose_goes_to_ = &thinking_;
  }

  AnswerDelta pass_on(std::string_view text) {
    parsed_bytes_ = text_.size();
    *prose_goes_to_ += text;
    AnswerDelta delta;
    (prose_goes_to_ == &content_ ? delta.content : delta.thinking) = text;
    return delta;
  }

  static bool calls_whole(const llama::Parsed& parsed) {
    for (const auto& call : parsed.tool_calls) {
      if (call.name.empty() || !is_object(call.arguments.empty() ? "{}" : call.arguments)) {
        return false;
      }
    }
    return true;
  }

  // What is new since the last time. White space at an end is kept back until it is known not to
  // belong to a marker.
  static std::string grown(std::string& given, std::string_view now, bool last) {
    if (!last) now = without_trailing_space(now);
    if (now.size() <= given.size() || !now.starts_with(given)) return {};
    std::string added(now.substr(given.size()));
    given = now;
    return added;
  }

  AnswerDelta difference(const llama::Parsed& parsed, bool last) {
    AnswerDelta delta;
    bool behind = !parsed.content.empty() || !parsed.tool_calls.empty();
    // White space around the thought belongs neither to it nor to the answer.
    delta.thinking = grown(thinking_, without_leading_space(parsed.thinking), last || behind);
    std::string_view content = parsed.content;
    if (!parsed.thinking.empty()) content = without_leading_space(content);
    delta.content = grown(content_, content, last || !parsed.tool_calls.empty());
    for (; calls_ < parsed.tool_calls.size(); ++calls_) {
      const auto& call = parsed.tool_calls[calls_];
      bool followed = calls_ + 1 < parsed.tool_calls.size();
      std::string arguments = call.arguments.empty() && (followed || last) ? "{}" : call.arguments;
      // Arguments only grow, so a whole object is final; but {} may be what an object begins with.
      if (call.name.empty() || !is_object(arguments)) break;
      if (arguments == "{}" && !followed && !last) break;
      delta.tool_calls.push_back({call.id.empty() ? ids_() : call.id, call.name, arguments});
    }
    return delta;
  }

  // The text behind the last thing given out.
  std::string rest_after_given() const {
    if (content_.empty() && thinking_.empty() && calls_ == 0) return text_;
    const std::string& last = content_.empty() ? thinking_ : content_;
    size_t at = last.empty() ? std::string::npos : text_.rfind(last);
    if (at == std::string::npos || calls_ > 0) return {};
    return text_.substr(at + last.size());
  }

  std::shared_ptr<const llama::OutputParser> parser_;
  ToolCallId ids_;
  std::string text_;
  size_t parsed_bytes_ = 0;
  std::string content_, thinking_;
  std::string* prose_goes_to_ = nullptr;  // One of these; null: not known.
  size_t calls_ = 0;
};

class JinjaFormat : public AnswerFormat::Impl {
 public:
  explicit JinjaFormat(std::shared_ptr<const llama::OutputParser> parser)
      : parser_(std::move(parser)) {}
  std::unique_ptr<AnswerParser> make(ToolCallId ids) const override {
    return std::make_unique<JinjaAnswerParser>(parser_, std::move(ids));
  }
  bool plain() const override { return parser_->plain(); }

 private:
  std::shared_ptr<const llama::OutputParser> parser_;
};

}  // namespace

AnswerFormat jinja_answer_format(std::shared_ptr<const llama::OutputParser> parser) {
  return AnswerFormat(std::make_shared<const JinjaFormat>(std::move(parser)));
}

}  // namespace om::prompt
