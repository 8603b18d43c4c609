#include "app/cli/line_editor.h"

#include <histedit.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <termios.h>
#include <wchar.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <string_view>

#include "app/cli/terminal.h"
#include "io/real/descriptor.h"

namespace om::app {

namespace {

constexpr int kHistoryMax = 1000;

// libedit asks for the prompt through a function without arguments of ours.
std::string current_prompt;
char* prompt_of(EditLine*) { return current_prompt.data(); }

// Readable once Ctrl-C came. A flag would be missed by a read that begins just after it was set, or
// if the signal was given to another thread.
int interrupts = -1;

void on_interrupt(int) {
  const int before = errno;
  (void)::eventfd_write(interrupts, 1);
  errno = before;
}

bool take_interrupt() {
  eventfd_t count = 0;
  return ::eventfd_read(interrupts, &count) == 0;
}

// Terminals that know bracketed paste (xterm and its kin) say where a pasted text begins and ends.
constexpr const char* kPasteOn = "\033[?2004h";
constexpr const char* kPasteOff = "\033[?2004l";
bool pasting = false;

unsigned char begin_paste(EditLine*, int) {
  pasting = true;
  return CC_NORM;
}
unsigned char end_paste(EditLine*, int) {
  pasting = false;
  return CC_NORM;
}

// A terminal drops what was typed when Ctrl-C comes, also between poll() and read(), which then
// must not wait.
void read_without_waiting() {
  termios mode{};
  if (::tcgetattr(STDIN_FILENO, &mode) != 0) return;
  mode.c_cc[VMIN] = 0;
  mode.c_cc[VTIME] = 0;
  (void)::tcsetattr(STDIN_FILENO, TCSADRAIN, &mode);
}

// libedit's way to get a character: 1; 0 at the end of input; -1 if Ctrl-C came.
int read_character(EditLine*, wchar_t* character) {
  mbstate_t state{};
  *character = 0;
  while (true) {
    std::array<pollfd, 2> waited{{{STDIN_FILENO, POLLIN, 0}, {interrupts, POLLIN, 0}}};
    if (::poll(waited.data(), waited.size(), -1) < 0) {
      if (errno == EINTR) continue;
      return -1;
    }
    if (waited[1].revents != 0) return -1;
    char byte = 0;
    const ssize_t count = ::read(STDIN_FILENO, &byte, 1);
    if (count == 0) {
      if ((waited[0].revents & POLLHUP) != 0 || !is_terminal(STDIN_FILENO)) return 0;
      continue;
    }
    if (count < 0) {
      if (errno == EINTR || errno == EAGAIN) continue;
      return -1;
    }
    const size_t length = mbrtowc(character, &byte, 1, &state);
    if (length <= 1) return 1;
    if (length == static_cast<size_t>(-1)) state = {};  // Not of this encoding: left out.
  }
}

// Older versions kept it as libedit does, behind this line and with blanks and the like escaped.
constexpr std::string_view kLibeditCookie = "_HiStOrY_V2_";

void load_history(History* lines, const std::string& path) {
  std::ifstream file(path);
  HistEvent event{};
  std::string line;
  for (bool first = true; std::getline(file, line); first = false) {
    if (first && line == kLibeditCookie) {
      history(lines, &event, H_LOAD, path.c_str());
      return;
    }
    if (!line.empty()) history(lines, &event, H_ENTER, line.c_str());
  }
}

// For the user's eyes alone.
void save_history(io::Filesystem& files, History* lines, const std::string& path) {
  std::string text;
  HistEvent event{};
  for (int found = history(lines, &event, H_LAST); found != -1;
       found = history(lines, &event, H_PREV)) {
    std::string_view line = event.str;
    while (line.ends_with('\n')) line.remove_suffix(1);
    text.append(line).append("\n");
  }
  const mode_t before = ::umask(0077);
  (void)files.write_file(path, text);  // Without it, the chat goes on as well.
  ::umask(before);
}

}  // namespace

struct LineEditor::State {
  explicit State(io::Filesystem& the_files) : files(the_files) {}

  io::Filesystem& files;
  EditLine* editor = nullptr;
  History* history = nullptr;
  HistEvent event{};
  std::string history_file;
  io::Descriptor interrupts;
};

LineEditor::LineEditor(io::Filesystem& files, std::string history_file)
    : state_(std::make_unique<State>(files)) {
  state_->history_file = std::move(history_file);
  state_->history = history_init();
  history(state_->history, &state_->event, H_SETSIZE, kHistoryMax);
  history(state_->history, &state_->event, H_SETUNIQUE, 1);
  if (!state_->history_file.empty()) load_history(state_->history, state_->history_file);
  state_->interrupts = io::Descriptor(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  interrupts = state_->interrupts.get();
  state_->editor = el_init("ollamamax", stdin, stdout, stderr);
  el_set(state_->editor, EL_PROMPT, &prompt_of);
  el_set(state_->editor, EL_EDITOR, "emacs");
  el_set(state_->editor, EL_HIST, history, state_->history);
  el_set(state_->editor, EL_SIGNAL, 0);
  el_set(state_->editor, EL_GETCFN, &read_character);
  el_set(state_->editor, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  el_set(state_->editor, EL_ADDFN, "begin-paste", "A pasted text begins", &begin_paste);
  el_set(state_->editor, EL_ADDFN, "end-paste", "A pasted text ends", &end_paste);
  el_set(state_->editor, EL_BIND, "\\e[200~", "begin-paste", nullptr);
  el_set(state_->editor, EL_BIND, "\\e[201~", "end-paste", nullptr);
  el_set(state_->editor, EL_BIND, "^I", "ed-insert", nullptr);  // Code that is pasted has tabs.
}

LineEditor::~LineEditor() {
  el_end(state_->editor);
  history_end(state_->history);
}

void LineEditor::remember(const std::string& line) {
  if (!history_on_ || line.empty()) return;
  history(state_->history, &state_->event, H_ENTER, line.c_str());
  if (!state_->history_file.empty()) {
    save_history(state_->files, state_->history, state_->history_file);
  }
}

LineEditor::End LineEditor::read_line(std::string& line) {
  struct sigaction ours{};
  struct sigaction before{};
  ours.sa_handler = on_interrupt;
  sigaction(SIGINT, &ours, &before);
  // Before the prompt is shown: what is typed at it is echoed once, by the editor.
  el_set(state_->editor, EL_PREP_TERM, 1);
  read_without_waiting();
  int count = 0;
  const char* text = el_gets(state_->editor, &count);
  sigaction(SIGINT, &before, nullptr);
  if (take_interrupt()) {
    std::fputs("\n", stdout);
    el_reset(state_->editor);
    return End::interrupted;
  }
  if (text == nullptr || count <= 0) return End::closed;
  line.assign(text, static_cast<size_t>(count));
  while (line.ends_with('\n') || line.ends_with('\r')) line.pop_back();
  remember(line);
  return End::line;
}

LineEditor::End LineEditor::read(const std::string& prompt, std::string& line) {
  current_prompt = prompt;
  pasting = false;
  line.clear();
  std::fputs(kPasteOn, stdout);
  std::string piece;
  End end = read_line(piece);
  // The end of a line in the midst of a pasted text ends nothing.
  bool several = false;
  while (end == End::line && pasting) {
    several = true;
    line += piece + "\n";
    current_prompt = "... ";
    end = read_line(piece);
  }
  std::fputs(kPasteOff, stdout);
  (void)std::fflush(stdout);
  line += piece;
  return end == End::line && several ? End::pasted : end;
}

}  // namespace om::app
