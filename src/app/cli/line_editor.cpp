#include "app/cli/line_editor.h"

#include <histedit.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <termios.h>
#include <wchar.h>

#include <array>
#include <cerrno>
#include <cstdio>
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

}  // namespace

struct LineEditor::State {
  EditLine* editor = nullptr;
  History* history = nullptr;
  HistEvent event{};
  std::string history_file;
  io::Descriptor interrupts;
};

LineEditor::LineEditor(std::string history_file) : state_(std::make_unique<State>()) {
  state_->history_file = std::move(history_file);
  state_->history = history_init();
  history(state_->history, &state_->event, H_SETSIZE, kHistoryMax);
  history(state_->history, &state_->event, H_SETUNIQUE, 1);
  if (!state_->history_file.empty()) {
    // A missing file is an empty history.
    history(state_->history, &state_->event, H_LOAD, state_->history_file.c_str());
  }
  state_->interrupts = io::Descriptor(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  interrupts = state_->interrupts.get();
  state_->editor = el_init("ollamamax", stdin, stdout, stderr);
  el_set(state_->editor, EL_PROMPT, &prompt_of);
  el_set(state_->editor, EL_EDITOR, "emacs");
  el_set(state_->editor, EL_HIST, history, state_->history);
  el_set(state_->editor, EL_SIGNAL, 0);
  el_set(state_->editor, EL_GETCFN, &read_character);
  el_set(state_->editor, EL_BIND, "^R", "em-inc-search-prev", nullptr);
}

LineEditor::~LineEditor() {
  el_end(state_->editor);
  history_end(state_->history);
}

LineEditor::End LineEditor::read(const std::string& prompt, std::string& line) {
  current_prompt = prompt;
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
  if (history_on_ && !line.empty()) {
    history(state_->history, &state_->event, H_ENTER, line.c_str());
    if (!state_->history_file.empty()) {
      history(state_->history, &state_->event, H_SAVE, state_->history_file.c_str());
    }
  }
  return End::line;
}

}  // namespace om::app
