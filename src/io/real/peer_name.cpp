#include "io/real/peer_name.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

namespace om::io {

Endpoint endpoint_of(const Socket::endpoint_type& endpoint) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const auto* address = static_cast<const sockaddr*>(endpoint.data());
  if (address->sa_family == AF_INET) {
    const auto* ip = reinterpret_cast<const sockaddr_in*>(address);
    inet_ntop(AF_INET, &ip->sin_addr, text.data(), text.size());
    return Endpoint::tcp(text.data(), ntohs(ip->sin_port));
  }
  if (address->sa_family == AF_INET6) {
    const auto* ip = reinterpret_cast<const sockaddr_in6*>(address);
    inet_ntop(AF_INET6, &ip->sin6_addr, text.data(), text.size());
    return Endpoint::tcp(text.data(), ntohs(ip->sin6_port));
  }
  if (address->sa_family == AF_UNIX && endpoint.size() > offsetof(sockaddr_un, sun_path)) {
    return Endpoint::unix_socket(reinterpret_cast<const sockaddr_un*>(address)->sun_path);
  }
  return Endpoint::unix_socket("unnamed");
}

std::string peer_name(const Socket& socket) {
  boost::system::error_code error;
  const auto endpoint = socket.remote_endpoint(error);
  if (error) return "unknown";
  const Endpoint peer = endpoint_of(endpoint);
  return peer.unix_path.empty() ? peer.str() : "unix";
}

}  // namespace om::io
