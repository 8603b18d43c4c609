// The turns of one simulated io thread, and work that happens at once.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>

#include "io/workers.h"

namespace om::sim {

class Context final : public boost::asio::io_context {
 public:
  Context() : boost::asio::io_context(1) {}
  void abandon() { shutdown(); }  // Drops what still waits while all it refers to is alive.
  // Does what can be done at once; how much it was.
  size_t run_ready() {
    restart();
    return poll();
  }
};

// Work happens at once, on the only thread there is.
class InlineWorkers final : public io::Workers {
 protected:
  io::Task<void> post(std::function<void()> job) override {
    job();
    co_return;
  }
};

}  // namespace om::sim
