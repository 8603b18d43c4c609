#include "app/cli/line_editor.h"

#include <histedit.h>
#include <signal.h>

#include <cerrno>
#include <cstdio>
#include <string_view>

namespace om::app {

namespace {

constexpr int kHistoryMax = 1000;

// libedit asks for the prompt through a function without arguments of ours.
std::string current_prompt;
char* prompt_of(EditLine*) { return current_prompt.data(); }

volatile sig_atomic_t interrupted = 0;
void on_interrupt(int) { interrupted = 1; }

}  // namespace

struct LineEditor::State {
  EditLine* editor = nullptr;
  History* history = nullptr;
  HistEvent event{};
  std::string history_file;
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
  state_->editor = el_init("ollamamax", stdin, stdout, stderr);
  el_set(state_->editor, EL_PROMPT, &prompt_of);
  el_set(state_->editor, EL_EDITOR, "emacs");
  el_set(state_->editor, EL_HIST, history, state_->history);
  el_set(state_->editor, EL_SIGNAL, 0);
  el_set(state_->editor, EL_BIND, "^R", "em-inc-search-prev", nullptr);
}

LineEditor::~LineEditor() {
  el_end(state_->editor);
  history_end(state_->history);
}

LineEditor::End LineEditor::read(const std::string& prompt, std::string& line) {
  current_prompt = prompt;
  // Without SA_RESTART, so that Ctrl-C ends the read.
  struct sigaction ours{};
  struct sigaction before{};
  ours.sa_handler = on_interrupt;
  interrupted = 0;
  sigaction(SIGINT, &ours, &before);
  int count = 0;
  const char* text = el_gets(state_->editor, &count);
  sigaction(SIGINT, &before, nullptr);
  if (interrupted != 0) {
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
