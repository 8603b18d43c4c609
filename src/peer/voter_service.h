// The far end of the way between the etcd members of voters, which has no port of its own: etcd
// listens on loopback, and who may reach it comes through the port between nodes.
#pragma once

#include "http/client.h"
#include "http/server.h"
#include "io/world.h"

namespace om::peer {

// Joins an etcd member with that of the node asked (http::upgrade to kVoterProtocol).
inline constexpr std::string_view kVoterTunnelPath = "/peer/v1/voter/tunnel";
inline constexpr std::string_view kVoterProtocol = "ollamamax-voter";

// Where this node's etcd member listens, and what its clients show.
struct VoterPorts {
  io::Endpoint client, peer;
  std::shared_ptr<const io::Tls> tls;
};

// On the io thread; outlives the http::Server that hands it requests. It asks nobody for a
// certificate: that is its caller's part, and etcd's own.
class VoterService {
 public:
  VoterService(io::World& world, http::Client& client, VoterPorts ports)
      : world_(world), client_(client), ports_(std::move(ports)) {}

  // The tunnel, and what is passed on to etcd: its members, its status, and reads.
  static bool serves(std::string_view path);
  io::Task<void> handle(http::Request& request, http::BodyReader& body,
                        http::ResponseWriter& response);
  void stop() { stopping_.cancel(); }  // Ends all tunnels.

 private:
  io::Task<void> tunnel(http::Request& request, http::ResponseWriter& response);
  io::Task<void> pass_on(http::Request& request, http::BodyReader& body,
                         http::ResponseWriter& response);

  io::World& world_;
  http::Client& client_;
  VoterPorts ports_;
  io::CancelSource stopping_;
};

}  // namespace om::peer
