// Lets other voters reach this node's etcd member, which listens on loopback only: they come
// through the port between nodes.
#pragma once

#include "http/client.h"
#include "http/server.h"
#include "io/world.h"

namespace om::peer {

// Joins the caller's etcd member with this node's (http::upgrade to kVoterProtocol).
inline constexpr std::string_view kVoterTunnelPath = "/peer/v1/voter/tunnel";
inline constexpr std::string_view kVoterProtocol = "ollamamax-voter";

// Where this node's etcd member listens, and the TLS of its clients.
struct VoterPorts {
  io::Endpoint client, peer;
  std::shared_ptr<const io::Tls> tls;
};

// On the io thread; outlives the http::Server that hands it requests. Checks no certificates: its
// caller does, and etcd itself.
class VoterService {
 public:
  VoterService(io::World& world, http::Client& client, VoterPorts ports)
      : world_(world), client_(client), ports_(std::move(ports)) {}

  // Paths of the tunnel, and of requests that are passed on to etcd: members, status, reads.
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
