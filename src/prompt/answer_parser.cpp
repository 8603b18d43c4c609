#include "prompt/answer_parser.h"

#include "prompt/answer_format.h"

namespace om::prompt {

namespace {

class PlainParser : public AnswerParser {
 public:
  Result<AnswerDelta> feed(std::string_view text) override {
    if (text.size() > kAnswerBytesMax - bytes_) {
      return fail(Errc::overloaded, "the answer exceeds {} bytes", kAnswerBytesMax);
    }
    bytes_ += text.size();
    return AnswerDelta{std::string(text), {}, {}};
  }
  Result<AnswerDelta> finish() override { return AnswerDelta{}; }
  bool called_tools() const override { return false; }

 private:
  size_t bytes_ = 0;
};

}  // namespace

AnswerFormat::AnswerFormat() = default;
AnswerFormat::AnswerFormat(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

std::unique_ptr<AnswerParser> AnswerFormat::make_parser(ToolCallId ids) const {
  if (plain()) return std::make_unique<PlainParser>();
  return impl_->make(std::move(ids));
}

bool AnswerFormat::plain() const { return !impl_ || impl_->plain(); }

std::string tool_call_id(uint64_t random) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz0123456789";
  std::string id = "call_";
  for (int i = 0; i < 8; ++i) {
    id += kLetters[random % kLetters.size()];
    random /= kLetters.size();
  }
  return id;
}

}  // namespace om::prompt
