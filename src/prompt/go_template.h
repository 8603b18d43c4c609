// Go's text/template, as far as the templates of model libraries use it.
// Language: https://pkg.go.dev/text/template. A missing map key is null and prints nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "prompt/value.h"

namespace om::prompt {

struct GoLimits {
  size_t output_bytes_max = 64 * 1024 * 1024;
  // Nodes executed, over all loops and calls, and what else takes as long. The io thread does
  // nothing else meanwhile: these are some 60 ms. A conversation takes about 20 for each message.
  size_t steps_max = 2'000'000;
};

// What was done of that already, where a template is executed several times for one prompt.
struct GoWork {
  size_t output_bytes = 0, made_bytes = 0, steps = 0;
};

struct GoTags {
  std::string open, close;
  bool empty() const { return open.empty() || close.empty(); }
};

// A parsed template. Immutable; execute it from any thread.
class GoTemplate {
 public:
  GoTemplate();
  ~GoTemplate();
  GoTemplate(GoTemplate&&) noexcept;
  GoTemplate& operator=(GoTemplate&&) noexcept;

  // invalid_argument: "template: :LINE: what", in Go's words where they are known.
  static Result<GoTemplate> parse(std::string_view text);

  // `now_seconds` is Unix time, for currentDate and yesterdayDate. invalid_argument: the template
  // asks for what the data has not (index out of range, len of a number), or a limit.
  Result<std::string> execute(const Value& data, int64_t now_seconds,
                              const GoLimits& limits = {}) const;
  // Adds to `work`.
  Result<std::string> execute(const Value& data, int64_t now_seconds, const GoLimits& limits,
                              GoWork& work) const;

  // Whether a field or variable of this name occurs anywhere, in any letter case.
  bool mentions(std::string_view name) const;
  // A copy that ends at the first use of the field: what follows it is gone, whatever surrounds it
  // stays. For rendering a turn up to the place where the answer goes.
  GoTemplate cut_after(std::string_view field) const;
  // The text around `.Thinking` in a range over .Messages; empty if there is none.
  GoTags thinking_tags() const;
  // What announces a tool call: the first text under `if .ToolCalls`, up to a brace, or the marker
  // (`<...>`, `[...]`) that it begins with; "{" if none.
  std::string tool_call_tag() const;

 private:
  struct Program;
  explicit GoTemplate(std::shared_ptr<const Program> program);
  std::shared_ptr<const Program> program_;
};

}  // namespace om::prompt
