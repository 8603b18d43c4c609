// The turns of one simulated io thread.
#pragma once

#include <boost/asio/io_context.hpp>

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

}  // namespace om::sim
