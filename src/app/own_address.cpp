#include "app/own_address.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/log.h"
#include "cluster/discovery.h"
#include "io/loopback.h"
#include "io/real/route.h"

namespace om::app {
namespace {

using Addresses = std::vector<std::string>;

// Of documentation, which nobody has: asked for, they tell where what is nowhere near would go.
constexpr const char* kFarAway[] = {"192.0.2.1", "2001:db8::1"};

bool is_any_address(const std::string& host) { return host == "0.0.0.0" || host == "::"; }

// The first that is not loopback; empty: there is none.
std::string outside_address(const Addresses& machine) {
  for (const bool v6 : {false, true}) {
    for (const std::string& name : machine) {
      const bool is_v6 = name.find(':') != std::string::npos;
      const bool is_v4 = name.find_first_not_of("0123456789.") == std::string::npos;
      if (is_v6 != v6 || (!v6 && !is_v4) || io::is_loopback(name) || name.starts_with("fe80"))
        continue;
      return name;
    }
  }
  return {};
}

Result<io::Endpoint> told_address(const std::string& text, uint16_t port) {
  auto endpoint = cluster::parse_endpoint(text, port);
  if (endpoint && !is_any_address(endpoint->host)) return endpoint;
  return fail(Errc::invalid_argument,
              "'{}' cannot be advertised: say the HOST[:PORT] under which other nodes reach this "
              "one",
              text);
}

void follow_machine(ClusterState& state, const OwnNetwork& machine) {
  const auto is_here = [&machine](const std::string& host) {
    return io::is_loopback(host) || std::ranges::count(machine.addresses, host) > 0;
  };
  if (!state.advertise_before.empty() && is_here(state.advertise_before)) {
    state.advertise.host = std::exchange(state.advertise_before, {});
    return;
  }
  if (is_here(state.advertise.host)) return;
  if (machine.outward.empty()) return;
  if (state.advertise_before.empty()) state.advertise_before = state.advertise.host;
  state.advertise.host = machine.outward;
}

struct NumericAddresses {
  Addresses working;
  Addresses others;  // Of interfaces whose cable is out, or that lead to one machine, as a VPN's.
};

NumericAddresses numeric_addresses() {
  NumericAddresses own;
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return own;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr) continue;
    const int family = entry->ifa_addr->sa_family;
    if (family != AF_INET && family != AF_INET6) continue;
    const socklen_t length = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    std::string text = io::numeric_text(entry->ifa_addr, length);
    const bool works = (entry->ifa_flags & (IFF_RUNNING | IFF_POINTOPOINT)) == IFF_RUNNING;
    if (!text.empty()) (works ? own.working : own.others).push_back(std::move(text));
  }
  ::freeifaddrs(list);
  return own;
}

Addresses with_host_name(const NumericAddresses& own) {
  Addresses names;
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) == 0) names.emplace_back(host.data());
  names.insert(names.end(), own.working.begin(), own.working.end());
  names.insert(names.end(), own.others.begin(), own.others.end());
  return names;
}

}  // namespace

std::vector<std::string> machine_addresses() { return with_host_name(numeric_addresses()); }

OwnNetwork own_network(const std::vector<io::Endpoint>& others) {
  const NumericAddresses own = numeric_addresses();
  OwnNetwork network{with_host_name(own), {}};
  for (const io::Endpoint& other : others) {
    // What is at one of its own is this machine itself.
    if (std::ranges::count(network.addresses, other.host) > 0) continue;
    network.outward = outside_address({io::source_towards(other.host)});
    if (!network.outward.empty()) return network;
  }
  for (const char* far : kFarAway) {
    const std::string source = outside_address({io::source_towards(far)});
    // A VPN that all goes through ends at somebody who knows no node.
    if (source.empty() || std::ranges::count(own.working, source) == 0) continue;
    network.outward = source;
    break;
  }
  return network;
}

Result<void> choose_address(ClusterState& state, const Settings& settings,
                            const std::string& wanted, const std::vector<io::Endpoint>& others) {
  TRY(const HostPort listen, parse_peer_listen(settings.cluster_listen));
  state.advertise_setting = settings.cluster_advertise;
  state.listen_port = listen.port;
  const std::string& told = wanted.empty() ? settings.cluster_advertise : wanted;
  if (!told.empty()) {
    TRY(state.advertise, told_address(told, listen.port));
    return {};
  }
  state.advertise_found = true;
  std::string host = listen.host;
  if (is_any_address(host) && !others.empty() && io::is_loopback(others.front().host)) {
    host = "127.0.0.1";
  } else if (is_any_address(host)) {
    const OwnNetwork machine = own_network(others);
    host = machine.outward.empty() ? outside_address(machine.addresses) : machine.outward;
  }
  if (host.empty()) {
    return fail(Errc::invalid_argument,
                "this machine has no address but loopback: say --advertise HOST under which other "
                "nodes reach it");
  }
  state.advertise = io::Endpoint::tcp(host, listen.port);
  return {};
}

bool follow_address(ClusterState& state, const Settings& settings,
                    const std::function<OwnNetwork()>& machine) {
  const auto listen = parse_peer_listen(settings.cluster_listen);
  if (!listen) return false;  // The node does not start with it.
  const io::Endpoint before = state.advertise;
  const std::string& told = settings.cluster_advertise;
  const auto told_then = told_address(told, state.listen_port);
  // If neither holds, the address came from the node that let this one in: the setting does not
  // apply.
  const bool is_told = told != state.advertise_setting || (told_then && *told_then == before);
  if (!told.empty() && is_told) {
    if (auto endpoint = told_address(told, listen->port)) {
      state.advertise = std::move(*endpoint);
      state.advertise_found = false;
    } else {
      log_warn("cluster.advertise", field("error", endpoint.error()));
    }
  } else {
    if (before.port == state.listen_port) state.advertise.port = listen->port;
    if (state.advertise_found && !is_any_address(listen->host)) {
      state.advertise.host = listen->host;
    } else if (state.advertise_found) {
      follow_machine(state, machine());
    }
  }
  const bool is_set_anew = state.advertise_setting != told || state.listen_port != listen->port;
  state.advertise_setting = told;
  state.listen_port = listen->port;
  return is_set_anew || state.advertise != before;
}

}  // namespace om::app
