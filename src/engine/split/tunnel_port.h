// The near end of a tunnel: a port on loopback whose connections come out at a part.
#pragma once

#include "engine/split/part_source.h"
#include "io/task_group.h"
#include "io/world.h"

namespace om::engine {

// llama-server connects here as if its ggml-rpc-server were on this machine. On the io thread;
// stop() must have returned before it and its part are destroyed.
class TunnelPort {
 public:
  static constexpr size_t kConnectionsMax = 8;

  TunnelPort(io::World& world, Part& part);
  ~TunnelPort();

  Result<uint16_t> listen();
  uint64_t bytes_sent() const { return sent_; }  // Towards the part.
  io::Task<void> stop();

 private:
  io::Task<void> accept();
  io::Task<void> serve(std::unique_ptr<io::Stream> near);

  io::World& world_;
  Part& part_;
  std::unique_ptr<io::Listener> listener_;
  size_t connections_ = 0;
  uint64_t sent_ = 0;
  io::TaskGroup tasks_;
};

}  // namespace om::engine
