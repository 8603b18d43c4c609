// Ctrl-C ends what runs, not the program.
#pragma once

#include "io/cancel.h"
#include "io/real.h"

namespace om::app {

// From its making to its end Ctrl-C cancels token(); afterwards it ends the program again. One at a
// time, on the io thread.
class Interrupt {
 public:
  explicit Interrupt(io::RealWorld& real);
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  io::CancelToken token() const { return source_.token(); }
  bool came() const { return source_.cancelled(); }
  void forget() { source_ = io::CancelSource(); }  // What runs next is cancelled by the next one.

 private:
  io::RealWorld& real_;
  io::CancelSource source_;
};

}  // namespace om::app
