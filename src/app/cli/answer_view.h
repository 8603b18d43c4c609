// Prints a streamed answer: thinking, text, tool calls and, if asked, its timings.
#pragma once

#include <boost/json.hpp>
#include <string>

#include "app/cli/command.h"
#include "app/cli/interrupt.h"
#include "app/cli/terminal.h"

namespace om::app {

struct AnswerStyle {
  bool wrap = false;  // Standard output is a terminal and wrapping is on.
  bool hide_thinking = false;
  bool verbose = false;
  bool json = false;
};

// What an answer said, for the history of a chat.
struct AnswerText {
  std::string content, thinking;
  boost::json::array tool_calls;
  bool complete = false;
};

// Posts to /api/generate or /api/chat and prints what comes. Ctrl-C ends the answer, not the
// program: what was said until then is returned with `complete` false.
io::Task<Result<AnswerText>> print_answer(Cli& cli, const Interrupt& interrupt, std::string path,
                                          boost::json::object body, AnswerStyle style);

}  // namespace om::app
