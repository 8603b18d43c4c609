// What the command line needs of the terminal: width, wrapped text, progress bars, a spinner, a
// table, and sizes and times as people read them.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "io/task.h"

namespace om::app {

// Texts are UTF-8, also where the environment names no language (containers, cron): without it the
// line editor shows "\303\244" for "ä". Call once, first.
void use_utf8();

bool is_terminal(int descriptor);
// Reads up to the end of a file or pipe, `bytes_max` at most.
std::string read_to_end(int descriptor, size_t bytes_max);
// A secret from the command line. "-": the first line of standard input, which keeps the secret out
// of the shell's history and the list of processes. invalid_argument: nothing came. `what`: the
// word for it in messages ("token").
Result<std::string> given_secret(std::string given, std::string_view what);
int terminal_width(int descriptor);        // 80 if unknown.
int display_width(std::string_view utf8);  // Columns, counting East Asian wide characters as two.

std::string human_binary_rate(double bytes_per_second);         // "12 MB/s".
std::string human_duration(std::chrono::nanoseconds duration);  // "1m12s", "3s".
// "2 days ago", "4 minutes from now", "Forever".
std::string human_time(io::WallTime time, io::WallTime now);

// Rows of cells as columns, four spaces apart, the header in capitals: Ollama's tables.
std::string format_table(const std::vector<std::string>& header,
                         const std::vector<std::vector<std::string>>& rows);

// Breaks text at words so that it fits the terminal, as it streams in.
class WordWrap {
 public:
  explicit WordWrap(int width) : width_(width) {}  // 0: no wrapping.
  int width() const { return width_; }
  // What to print for this piece; may begin with characters that move a begun word to a new line.
  std::string push(std::string_view text);

 private:
  int width_;
  int column_ = 0;
  std::string word_;  // The last word printed, which may go on.
};

// Lines of progress on standard error, redrawn in place on a terminal; else one line per change of
// status. Bars carry rate and time left.
class Progress {
 public:
  explicit Progress(bool terminal) : terminal_(terminal) {}
  ~Progress() { finish(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void status(const std::string& text);
  void bar(const std::string& text, uint64_t completed, uint64_t total, io::TimePoint now);
  void finish();  // Leaves the last state on the screen.
  void clear();   // Leaves nothing.

 private:
  struct Line {
    std::string text;
    uint64_t completed = 0, total = 0, first_completed = 0;
    io::TimePoint started{}, updated{};
    bool is_bar = false;
  };
  Line& line_for(const std::string& text);
  std::string render(const Line& line) const;
  void draw(io::TimePoint now, bool force);

  bool terminal_;
  std::vector<Line> lines_;
  size_t drawn_ = 0;
  io::TimePoint last_draw_{};
};

}  // namespace om::app
