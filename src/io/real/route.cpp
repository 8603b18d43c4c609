#include "io/real/route.h"

#include <linux/in6.h>
#include <netdb.h>
#include <unistd.h>

#include <array>

namespace om::io {
namespace {

// An address that stays, where the machine has temporary ones of IPv6 besides (RFC 4941), which the
// kernel likes better and drops after days. A kernel that cannot be told chooses as it does.
void prefer_lasting_address(int socket) {
  const int wanted = IPV6_PREFER_SRC_PUBLIC;
  (void)::setsockopt(socket, IPPROTO_IPV6, IPV6_ADDR_PREFERENCES, &wanted, sizeof(wanted));
}

}  // namespace

std::string numeric_text(const sockaddr* address, socklen_t length) {
  std::array<char, NI_MAXHOST> text{};
  const int failed =
      ::getnameinfo(address, length, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST);
  return failed == 0 ? text.data() : "";
}

// To connect a datagram socket is to choose a route, and no more.
std::string source_towards(const std::string& host) {
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST;
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* found = nullptr;
  constexpr const char* kAnyPort = "9";
  if (::getaddrinfo(host.c_str(), kAnyPort, &hints, &found) != 0) return {};
  const int socket = ::socket(found->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (found->ai_family == AF_INET6) prefer_lasting_address(socket);
  sockaddr_storage own{};
  auto* address = reinterpret_cast<sockaddr*>(&own);
  socklen_t length = sizeof(own);
  const bool is_chosen = socket >= 0 && ::connect(socket, found->ai_addr, found->ai_addrlen) == 0 &&
                         ::getsockname(socket, address, &length) == 0;
  ::freeaddrinfo(found);
  if (socket >= 0) ::close(socket);
  return is_chosen ? numeric_text(address, length) : "";
}

}  // namespace om::io
