// Lets Ctrl-C end the running command and not the program.
#pragma once

#include "io/cancel.h"
#include "io/real.h"

namespace om::app {

// While this object lives, Ctrl-C cancels token(); afterwards it ends the program again. One at a
// time, on the io thread.
class Interrupt {
 public:
  explicit Interrupt(io::RealWorld& real);
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  io::CancelToken token() const { return source_.token(); }
  bool came() const { return source_.cancelled(); }
  void forget() { source_ = io::CancelSource(); }  // token() is new, for the next command.

 private:
  io::RealWorld& real_;
  io::CancelSource source_;
};

}  // namespace om::app
