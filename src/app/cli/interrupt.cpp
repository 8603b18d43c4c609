#include "app/cli/interrupt.h"

#include <csignal>

namespace om::app {

Interrupt::Interrupt(io::RealWorld& real) : real_(real) {
  real_.on_signal({SIGINT}, [this](int) { source_.cancel(); });
}

Interrupt::~Interrupt() { real_.default_signals(); }

}  // namespace om::app
