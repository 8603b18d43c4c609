#include "app/cli/spinner.h"

#include <unistd.h>

#include <array>
#include <cstdio>

#include "app/cli/terminal.h"

namespace om::app {

Spinner::Spinner(io::Clock& clock) : clock_(clock), active_(is_terminal(STDERR_FILENO)) { turn(); }

void Spinner::stop() {
  if (timer_ != 0) clock_.cancel_timer(timer_);
  timer_ = 0;
  if (active_) std::fputs("\r\033[K\033[?25h", stderr);
  active_ = false;
}

void Spinner::turn() {
  if (!active_) return;
  static constexpr std::array<const char*, 8> kFrames{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧"};
  std::fprintf(stderr, "\r\033[?25l%s ", kFrames[frame_++ % kFrames.size()]);
  timer_ = clock_.start_timer(clock_.now() + std::chrono::milliseconds(100), [this] { turn(); });
}

}  // namespace om::app
