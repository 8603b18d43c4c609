// Finds nodes of the cluster to join beside those that the token names, whose addresses may have
// changed since. A node that is found must still prove that it belongs to the cluster.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "io/name_service.h"
#include "io/task_group.h"
#include "io/world.h"

namespace om::cluster {

inline constexpr uint16_t kPeerPort = 11435;  // Where no port is given.
inline constexpr size_t kDiscoverySourcesMax = 16, kDiscoveredMax = 64;
// The service that nodes announce (RFC 6763).
inline constexpr std::string_view kMdnsService = "_ollamamax._tcp";

struct DiscoverySource {
  enum class Kind {
    fixed,  // "HOST[:PORT]"
    dns,    // "dns:NAME[:PORT]": every address of a name, such as a Kubernetes headless service's.
    mdns,   // "mdns": nodes that announce themselves on the local network; asks Debian's Avahi.
  } kind = Kind::fixed;
  io::Endpoint endpoint;  // Not of mdns.
};

// HOST[:PORT], [V6]:PORT or a bare V6 address. invalid_argument: something else.
Result<io::Endpoint> parse_endpoint(std::string_view text, uint16_t default_port = kPeerPort);

// invalid_argument: not a source.
Result<std::vector<DiscoverySource>> parse_discovery(std::span<const std::string> texts);

// All endpoints that the sources name now, each once, in the sources' order. A source that does not
// answer is logged and left out. On the io thread.
io::Task<std::vector<io::Endpoint>> discover(io::World& world, io::NameService& names,
                                             std::vector<DiscoverySource> sources, io::Call call);

// The endpoint in a line of `avahi-browse --parsable --resolve`; nullopt: there is none.
std::optional<io::Endpoint> read_avahi_line(std::string_view line);

// Announces this node over mDNS for as long as it lives, through avahi-publish. On the io thread;
// stop() must have returned before it is destroyed.
class MdnsAnnouncement {
 public:
  MdnsAnnouncement(io::World& world, std::string node, uint16_t port);
  ~MdnsAnnouncement();
  void start();
  io::Task<void> stop();

 private:
  io::Task<void> run();
  io::Task<Result<void>> publish();

  io::World& world_;
  std::string node_;
  uint16_t port_;
  io::TaskGroup tasks_;
};

}  // namespace om::cluster
