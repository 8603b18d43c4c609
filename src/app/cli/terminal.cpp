#include "app/cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include <array>
#include <cerrno>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <iostream>

#include "base/duration.h"
#include "base/strings.h"

namespace om::app {

using std::chrono::duration_cast;
using std::chrono::seconds;

void use_utf8() {
  std::setlocale(LC_CTYPE, "");
  if (MB_CUR_MAX == 1) std::setlocale(LC_CTYPE, "C.UTF-8");
}

bool is_terminal(int descriptor) { return ::isatty(descriptor) == 1; }

std::string read_to_end(int descriptor, size_t bytes_max) {
  std::string input;
  std::array<char, 65'536> piece;
  while (input.size() < bytes_max) {
    const ssize_t count = ::read(descriptor, piece.data(), piece.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    input.append(piece.data(), static_cast<size_t>(count));
  }
  return input;
}

Result<std::string> given_secret(std::string given, std::string_view what) {
  if (given != "-") return given;
  std::string line;
  std::getline(std::cin, line);
  if (trim(line).empty()) {
    return fail(Errc::invalid_argument, "no {} came from standard input", what);
  }
  return std::string(trim(line));
}

int terminal_width(int descriptor) {
  winsize size{};
  if (::ioctl(descriptor, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

int display_width(std::string_view utf8) {
  int width = 0;
  mbstate_t state{};
  while (!utf8.empty()) {
    wchar_t character = 0;
    const size_t length = mbrtowc(&character, utf8.data(), utf8.size(), &state);
    if (length == 0 || length > utf8.size()) {
      utf8.remove_prefix(1);
      width++;
      state = {};
      continue;
    }
    width += std::max(0, wcwidth(character));
    utf8.remove_prefix(length);
  }
  return width;
}

std::string human_binary_rate(double bytes_per_second) {
  return format_size(static_cast<uint64_t>(std::max(0.0, bytes_per_second))) + "/s";
}

std::string human_duration(std::chrono::nanoseconds duration) {
  const int64_t total = std::max<int64_t>(0, duration_cast<seconds>(duration).count());
  if (total >= 3600) return fmt::format("{}h{}m", total / 3600, total % 3600 / 60);
  if (total >= 60) return fmt::format("{}m{}s", total / 60, total % 60);
  return fmt::format("{}s", total);
}

namespace {

// One unit, in words, rounded as Ollama does: "About a minute", "4 minutes", "2 weeks".
std::string about(int64_t count) {
  if (count < 1) return "Less than a second";
  if (count == 1) return "1 second";
  if (count < 60) return fmt::format("{} seconds", count);
  const int64_t minutes = count / 60;
  if (minutes == 1) return "About a minute";
  if (minutes < 60) return fmt::format("{} minutes", minutes);
  const int64_t hours = (count + 1800) / 3600;
  if (hours == 1) return "About an hour";
  if (hours < 48) return fmt::format("{} hours", hours);
  const int64_t days = hours / 24;
  if (days < 14) return fmt::format("{} days", days);
  if (days < 60) return fmt::format("{} weeks", days / 7);
  if (days < 730) return fmt::format("{} months", days / 30);
  return fmt::format("{} years", days / 365);
}

}  // namespace

std::string human_time(io::WallTime time, io::WallTime now) {
  const int64_t ahead = duration_cast<seconds>(time - now).count();
  if (ahead > int64_t{20} * 365 * 24 * 3600) return "Forever";
  return ahead > 0 ? about(ahead) + " from now" : about(-ahead) + " ago";
}

std::string format_table(const std::vector<std::string>& header,
                         const std::vector<std::vector<std::string>>& rows) {
  std::vector<int> widths;
  for (size_t column = 0; column < header.size(); column++) {
    int width = display_width(header[column]);
    for (const auto& row : rows) width = std::max(width, display_width(row.at(column)));
    widths.push_back(width);
  }
  std::string out;
  const auto add = [&](const std::vector<std::string>& row) {
    for (size_t column = 0; column < row.size(); column++) {
      const int gap = widths[column] - display_width(row[column]) + 4;
      out += row[column] + std::string(static_cast<size_t>(gap), ' ');
    }
    out += '\n';
  };
  add(header);
  for (const auto& row : rows) add(row);
  return out;
}

std::string WordWrap::push(std::string_view text) {
  if (width_ <= 0) return std::string(text);
  std::string out;
  while (!text.empty()) {
    size_t length = 1;
    while (length < text.size() && (text[length] & 0xc0) == 0x80) length++;
    const std::string_view character = text.substr(0, length);
    text.remove_prefix(length);
    if (character == "\n") {
      out += '\n';
      column_ = 0;
      word_.clear();
      continue;
    }
    const int width = display_width(character);
    if (column_ + width > width_ - 1 && character != " ") {
      const int word_width = display_width(word_);
      if (word_width > 0 && word_width < width_ - 1) {
        // Take the begun word off the line and start the next one with it.
        out += fmt::format("\033[{}D\033[K\n{}", word_width, word_);
        column_ = word_width;
      } else {
        out += '\n';
        column_ = 0;
        word_.clear();
      }
    }
    if (character == " " && column_ + width > width_ - 1) {
      out += '\n';
      column_ = 0;
      word_.clear();
      continue;
    }
    out += character;
    column_ += width;
    // Between wide characters a line may break anywhere.
    if (character == " " || character == "\t" || width == 2) {
      word_.clear();
    } else {
      word_ += character;
    }
  }
  return out;
}

Progress::Line& Progress::line_for(const std::string& text) {
  for (Line& line : lines_) {
    if (line.text == text) return line;
  }
  lines_.push_back({});
  lines_.back().text = text;
  if (!terminal_) std::fprintf(stderr, "%s\n", text.c_str());
  return lines_.back();
}

void Progress::status(const std::string& text) {
  line_for(text);
  draw({}, true);
}

void Progress::bar(const std::string& text, uint64_t completed, uint64_t total, io::TimePoint now) {
  Line& line = line_for(text);
  if (!line.is_bar) {
    line.started = now;
    line.first_completed = completed;  // What was there before does not count into the rate.
  }
  line.is_bar = true;
  line.completed = completed;
  line.total = total;
  line.updated = now;
  draw(now, completed >= total);
}

namespace {

// What fits into so many columns: a line that wraps cannot be drawn over.
std::string cut_to(std::string_view text, int columns) {
  if (display_width(text) <= columns) return std::string(text);
  std::string kept;
  int width = 1;  // Of the mark.
  while (!text.empty()) {
    size_t length = 1;
    while (length < text.size() && (text[length] & 0xc0) == 0x80) length++;
    width += display_width(text.substr(0, length));
    if (width > columns) break;
    kept += text.substr(0, length);
    text.remove_prefix(length);
  }
  return kept + "…";
}

}  // namespace

std::string Progress::render(const Line& line) const {
  const int columns = terminal_width(STDERR_FILENO) - 1;
  if (!line.is_bar) return cut_to(line.text, columns);
  const double done =
      line.total == 0
          ? 1.0
          : std::min(1.0, static_cast<double>(line.completed) / static_cast<double>(line.total));
  const double elapsed = std::chrono::duration<double>(line.updated - line.started).count();
  const double rate =
      elapsed > 0.2 ? static_cast<double>(line.completed - line.first_completed) / elapsed : 0;
  std::string right = fmt::format(" {:>7}", format_size(line.total));
  if (line.completed < line.total) {
    right = fmt::format(" {:>7}/{:<7}", format_size(line.completed), format_size(line.total));
    if (rate > 0) {
      const double left = static_cast<double>(line.total - line.completed) / rate;
      right += fmt::format(" {:>9} {:>6}", human_binary_rate(rate),
                           human_duration(std::chrono::seconds(static_cast<int64_t>(left))));
    }
  }
  const std::string percent = fmt::format(": {:3}% ", static_cast<int>(done * 100));
  const int text_max = std::max(columns - display_width(percent) - display_width(right), 1);
  const std::string left = cut_to(line.text, text_max) + percent;
  const int room = columns - display_width(left) - display_width(right) - 3;
  if (room < 5) return left + right;
  const int filled = static_cast<int>(done * room);
  std::string bar = "▕";
  for (int i = 0; i < room; i++) bar += i < filled ? "█" : " ";
  return left + bar + "▏" + right;
}

void Progress::draw(io::TimePoint now, bool force) {
  if (!terminal_) return;
  if (!force && now - last_draw_ < std::chrono::milliseconds(100)) return;
  last_draw_ = now;
  std::string out;
  if (drawn_ > 0) out += fmt::format("\033[{}A", drawn_);
  for (const Line& line : lines_) out += "\r\033[K" + render(line) + "\n";
  drawn_ = lines_.size();
  std::fwrite(out.data(), 1, out.size(), stderr);
}

void Progress::clear() {
  if (drawn_ > 0) std::fprintf(stderr, "\033[%zuA\r\033[J", drawn_);
  lines_.clear();
  drawn_ = 0;
}

void Progress::finish() {
  if (!lines_.empty()) draw({}, true);
  lines_.clear();
  drawn_ = 0;
}

}  // namespace om::app
