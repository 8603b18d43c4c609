// Joins two streams: bytes from either go to the other.
#pragma once

#include <memory>

#include "io/network.h"
#include "io/task_group.h"
#include "io/world.h"

namespace om::engine {

// On the io thread. run() once; both streams are closed when it returns.
class StreamRelay {
 public:
  StreamRelay(io::World& world, std::unique_ptr<io::Stream> near, std::unique_ptr<io::Stream> far);
  ~StreamRelay();

  // Returns when either side ends, or on `cancel`. `sent` counts bytes from near to far.
  io::Task<void> run(io::CancelToken cancel, uint64_t& sent);

 private:
  io::Task<void> copy(io::Stream& from, io::Stream& to, uint64_t& count);
  void abort();

  std::unique_ptr<io::Stream> near_, far_;
  uint64_t received_ = 0;
  io::TaskGroup tasks_;
};

}  // namespace om::engine
