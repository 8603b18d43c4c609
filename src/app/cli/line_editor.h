// A line of input with editing keys and history (libedit).
#pragma once

#include <memory>
#include <string>

#include "io/filesystem.h"

namespace om::app {

// One at a time, on the main thread; reading blocks it.
class LineEditor {
 public:
  enum class End { line, pasted, interrupted, closed };

  // The history is kept in `history_file`, a line each, as Ollama's is; empty: only in memory.
  LineEditor(io::Filesystem& files, std::string history_file);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  // The line without its end. pasted: several lines pasted together, and the text typed behind
  // them. interrupted: Ctrl-C. closed: Ctrl-D or the end of input.
  End read(const std::string& prompt, std::string& line);
  void set_history(bool on) { history_on_ = on; }

 private:
  End read_line(std::string& line);
  void remember(const std::string& line);

  struct State;
  std::unique_ptr<State> state_;
  bool history_on_ = true;
};

}  // namespace om::app
