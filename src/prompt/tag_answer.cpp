// Answers to Go templates: a thought between two tags, then content and tool calls that are known
// only by a tag before them and a JSON object in them.
#include <algorithm>

#include "prompt/answer_format.h"
#include "prompt/text.h"
#include "prompt/tool_scanner.h"

namespace om::prompt {

namespace {

// Splits off the thought, which can only stand at the beginning.
class ThoughtSplitter {
 public:
  ThoughtSplitter(const GoTags& tags, bool open) : tags_(tags) {
    if (tags.empty()) {
      state_ = State::behind;
    } else if (open) {
      state_ = State::space_in_thought;
    }
  }

  struct Output {
    std::string thinking, rest;
  };

  Output feed(std::string_view text) {
    Output out;
    held_ += text;
    while (advance(out)) {
    }
    return out;
  }

  Output finish() {
    Output out;
    (state_ == State::thought ? out.thinking : out.rest) = std::exchange(held_, {});
    // White space that was to be eaten stays eaten.
    if (state_ == State::space_in_thought || state_ == State::space_behind) out.rest.clear();
    return out;
  }

 private:
  enum class State { before, space_in_thought, thought, space_behind, behind };

  // Takes one step; false: nothing more can be said of the text held.
  bool advance(Output& out) {
    switch (state_) {
      case State::before:
        return look_for_thought();
      case State::space_in_thought:
        return eat_space(State::thought);
      case State::thought:
        return look_for_end(out);
      case State::space_behind:
        return eat_space(State::behind);
      case State::behind:
        out.rest += std::exchange(held_, {});
        return false;
    }
    return false;
  }

  bool look_for_thought() {
    size_t start = held_.find_first_not_of(kBlanks);
    if (start == held_.npos) return false;
    std::string_view text = std::string_view(held_).substr(start);
    if (text.starts_with(tags_.open)) {
      held_.erase(0, start + tags_.open.size());
      state_ = State::space_in_thought;
      return true;
    }
    if (std::string_view(tags_.open).starts_with(text)) return false;
    state_ = State::behind;
    return true;
  }

  bool eat_space(State next) {
    size_t start = held_.find_first_not_of(kBlanks);
    held_.erase(0, start);
    if (held_.empty()) return false;
    state_ = next;
    return true;
  }

  bool look_for_end(Output& out) {
    size_t end = held_.find(tags_.close);
    if (end != held_.npos) {
      out.thinking += held_.substr(0, end);
      held_.erase(0, end + tags_.close.size());
      state_ = State::space_behind;
      return true;
    }
    size_t keep = overlap(held_, tags_.close);
    out.thinking += held_.substr(0, held_.size() - keep);
    held_.erase(0, held_.size() - keep);
    return false;
  }

  const GoTags& tags_;
  State state_ = State::before;
  std::string held_;
};

class TagAnswerParser : public AnswerParser {
 public:
  TagAnswerParser(std::shared_ptr<const TagFormat> format, ToolCallId ids)
      : format_(std::move(format)),
        thought_(format_->thinking, format_->thinking_open),
        tools_(format_->tool_tag, format_->tool_names),
        ids_(std::move(ids)) {}

  Result<AnswerDelta> feed(std::string_view text) override {
    if (text.size() > kAnswerBytesMax - bytes_) {
      return fail(Errc::overloaded, "the answer exceeds {} bytes", kAnswerBytesMax);
    }
    bytes_ += text.size();
    auto split = thought_.feed(text);
    AnswerDelta delta;
    delta.thinking = std::move(split.thinking);
    tools_.feed(split.rest);
    take(delta);
    return delta;
  }

  Result<AnswerDelta> finish() override {
    auto split = thought_.finish();
    AnswerDelta delta;
    delta.thinking = std::move(split.thinking);
    tools_.feed(split.rest);
    tools_.finish();
    take(delta);
    return delta;
  }

  bool called_tools() const override { return called_; }

 private:
  void take(AnswerDelta& delta) {
    delta.content = tools_.take_content();
    if (format_->only_call && delta.content.find_first_not_of(kBlanks) == std::string::npos) {
      delta.content.clear();
    }
    delta.tool_calls = tools_.take_calls();
    for (auto& call : delta.tool_calls) call.id = ids_();
    called_ = called_ || !delta.tool_calls.empty();
  }

  std::shared_ptr<const TagFormat> format_;
  ThoughtSplitter thought_;
  ToolScanner tools_;
  ToolCallId ids_;
  size_t bytes_ = 0;
  bool called_ = false;
};

class TagAnswerFormat : public AnswerFormat::Impl {
 public:
  explicit TagAnswerFormat(TagFormat format)
      : format_(std::make_shared<const TagFormat>(std::move(format))) {}
  std::unique_ptr<AnswerParser> make(ToolCallId ids) const override {
    return std::make_unique<TagAnswerParser>(format_, std::move(ids));
  }
  bool plain() const override { return format_->thinking.empty() && format_->tool_tag.empty(); }

 private:
  std::shared_ptr<const TagFormat> format_;
};

}  // namespace

AnswerFormat tag_answer_format(TagFormat format) {
  return AnswerFormat(std::make_shared<const TagAnswerFormat>(std::move(format)));
}

}  // namespace om::prompt
