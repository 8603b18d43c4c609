// A little movement on standard error while nothing else happens.
#pragma once

#include "io/clock.h"

namespace om::app {

// Turns from its making to stop(), on a terminal only. On the io thread.
class Spinner {
 public:
  explicit Spinner(io::Clock& clock);
  ~Spinner() { stop(); }
  Spinner(const Spinner&) = delete;
  Spinner& operator=(const Spinner&) = delete;

  void stop();  // Leaves the line empty.

 private:
  void turn();

  io::Clock& clock_;
  bool active_;
  size_t frame_ = 0;
  io::Clock::TimerId timer_ = 0;
};

}  // namespace om::app
