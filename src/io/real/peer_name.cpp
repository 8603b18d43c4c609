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

bool has_one_address(const Socket& socket) {
  boost::system::error_code remote_error, local_error;
  const auto remote = socket.remote_endpoint(remote_error);
  const auto local = socket.local_endpoint(local_error);
  if (remote_error || local_error) return false;
  const Endpoint from = endpoint_of(remote);
  return from.unix_path.empty() && from.host == endpoint_of(local).host;
}

}  // namespace om::io
