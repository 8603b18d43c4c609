// The HTTP proxy through which this node's etcd member reaches those of other voters.
#pragma once

#include <functional>
#include <optional>

#include "engine/remote/peer_link.h"
#include "engine/split/own_port.h"

namespace om::peer {

// Answers CONNECT (RFC 9110, 9.3.6) on loopback, to processes of the node's own user. Addresses of
// nodes are reached through their port between nodes (VoterService), others directly. On the io
// thread; stop() must have returned before it is destroyed.
class VoterProxy {
 public:
  static constexpr size_t kConnectionsMax = 256;
  // The node whose port between nodes has this address; nullopt: none.
  using LinkAt = std::function<std::optional<engine::PeerLink>(const io::Endpoint&)>;

  VoterProxy(io::World& world, LinkAt link_at);
  ~VoterProxy();

  Result<io::Endpoint> listen() { return port_.listen(); }  // Once.
  io::Task<void> stop() { return port_.stop(); }

 private:
  io::Task<void> serve(std::unique_ptr<io::Stream> near);
  io::Task<Result<std::unique_ptr<io::Stream>>> reach(io::Stream& near);

  io::World& world_;
  LinkAt link_at_;
  engine::OwnPort port_;
};

// The target of a CONNECT request. `head`: its lines up to the empty one. invalid_argument: not a
// CONNECT.
Result<io::Endpoint> parse_connect(std::string_view head);

}  // namespace om::peer
