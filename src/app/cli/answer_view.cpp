#include "app/cli/answer_view.h"

#include <unistd.h>

#include <cstdio>

#include "app/cli/load_view.h"
#include "base/duration.h"

namespace om::app {

namespace json = boost::json;

namespace {

class Printer {
 public:
  explicit Printer(const AnswerStyle& style)
      : style_(style), wrap_(style.wrap ? terminal_width(STDOUT_FILENO) : 0) {}

  void thinking(const std::string& text) {
    if (text.empty() || style_.hide_thinking) return;
    if (!thinking_) print("Thinking...\n");
    thinking_ = true;
    thought_ends_ = text.ends_with('\n');
    print(wrap_.push(text));
  }
  void content(const std::string& text) {
    if (text.empty()) return;
    if (thinking_) {
      print(thought_ends_ ? "...done thinking.\n\n" : "\n...done thinking.\n\n");
      wrap_ = WordWrap(wrap_.width());  // No word of the thought goes on in the answer.
    }
    thinking_ = false;
    print(wrap_.push(text));
  }

 private:
  AnswerStyle style_;
  WordWrap wrap_;
  bool thinking_ = false, thought_ends_ = false;  // With the end of a line.
};

std::string timings(const json::object& last) {
  const auto duration = [&](const char* key) {
    return std::chrono::nanoseconds(static_cast<int64_t>(number_of(last, key)));
  };
  const auto rate = [&](const char* count, const char* time) {
    const double seconds = std::chrono::duration<double>(duration(time)).count();
    return seconds > 0 ? static_cast<double>(number_of(last, count)) / seconds : 0;
  };
  return fmt::format(
      "total duration:       {}\nload duration:        {}\n"
      "prompt eval count:    {} token(s)\nprompt eval duration: {}\n"
      "prompt eval rate:     {:.2f} tokens/s\n"
      "eval count:           {} token(s)\neval duration:        {}\n"
      "eval rate:            {:.2f} tokens/s\n",
      format_duration(duration("total_duration")), format_duration(duration("load_duration")),
      number_of(last, "prompt_eval_count"), format_duration(duration("prompt_eval_duration")),
      rate("prompt_eval_count", "prompt_eval_duration"), number_of(last, "eval_count"),
      format_duration(duration("eval_duration")), rate("eval_count", "eval_duration"));
}

void take_tool_calls(const json::object& message, AnswerText& answer) {
  const json::value* calls = message.if_contains("tool_calls");
  if (calls == nullptr || !calls->is_array()) return;
  for (const json::value& call : calls->as_array()) answer.tool_calls.push_back(call);
}

io::Task<Result<AnswerText>> print_lines(Cli& cli, const Interrupt& interrupt, std::string path,
                                         json::object body, AnswerStyle style, LoadView& view) {
  const bool asks = body.contains("messages") || !text_of(body, "prompt").empty();
  auto lines = co_await cli.api.stream(std::move(path), std::move(body), interrupt.token());
  AnswerText answer;
  if (!lines) {
    if (interrupt.came()) co_return answer;
    co_return fail(lines.error());
  }
  Printer printer(style);
  while (true) {
    auto line = co_await (*lines)->next();
    if (!line) {
      if (interrupt.came()) co_return answer;
      view.hide();
      print("\n");
      co_return fail(line.error());
    }
    if (!*line) break;
    const json::object& chunk = **line;
    const json::value* message = chunk.if_contains("message");
    const json::object& said =
        message != nullptr && message->is_object() ? message->as_object() : chunk;
    const std::string thinking = text_of(said, "thinking");
    const std::string content = text_of(said, message != nullptr ? "content" : "response");
    if (!thinking.empty() || !content.empty()) view.hide();
    if (style.json) {
      view.hide();
      print_json(chunk);
    } else {
      printer.thinking(thinking);
      printer.content(content);
    }
    answer.thinking += thinking;
    answer.content += content;
    take_tool_calls(said, answer);
    const json::value* done = chunk.if_contains("done");
    if (done == nullptr || !done->is_bool() || !done->as_bool()) continue;
    answer.complete = true;
    view.hide();
    if (style.json) break;
    for (const json::value& call : answer.tool_calls) print(json::serialize(call) + "\n");
    // As Ollama ends it: scripts count lines.
    if (asks) print("\n\n");
    if (style.verbose) std::fputs(timings(chunk).c_str(), stderr);
    break;
  }
  if (!answer.complete) co_return fail(Errc::unavailable, "the answer broke off");
  co_return answer;
}

}  // namespace

io::Task<Result<AnswerText>> print_answer(Cli& cli, const Interrupt& interrupt, std::string path,
                                          json::object body, AnswerStyle style) {
  LoadView view(cli, text_of(body, "model"));
  auto answer = co_await print_lines(cli, interrupt, std::move(path), std::move(body), style, view);
  co_await view.end();
  co_return answer;
}

}  // namespace om::app
