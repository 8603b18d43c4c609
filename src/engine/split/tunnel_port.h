// The near end of a tunnel: a port on loopback whose connections end at a part on another node.
#pragma once

#include "engine/split/own_port.h"
#include "engine/split/part_source.h"

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
  io::Task<void> stop() { return port_.stop(); }

 private:
  io::Task<void> serve(std::unique_ptr<io::Stream> near);

  io::World& world_;
  Part& part_;
  uint64_t sent_ = 0;
  OwnPort port_;
};

}  // namespace om::engine
