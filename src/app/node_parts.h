// Small decisions of the node's construction: where its programs lie, what it is called, how much
// memory runners may take.
#pragma once

#include <memory>
#include <string>

#include "api/api.h"
#include "app/settings.h"
#include "io/name_service.h"
#include "io/world.h"
#include "scheduler/local_scheduler.h"

namespace om::app {

struct NodePaths {
  std::string server_program, part_program, quantize_program, convert_script;
  std::string cards_program;               // Empty: cards are not used.
  std::string runtime_directory;           // For sockets; private to this process.
  std::shared_ptr<io::File> runtime_lock;  // Held as long as the folder is used.
};

// not_found: llama-server lies neither in the configured folder nor beside the program.
Result<NodePaths> find_paths(io::Filesystem& files, const Settings& settings);

// The key that this node shows to registries that want a login; the public half lies beside it, in
// .pub.
io::Path registry_key_path(const Settings& settings);

std::string node_name(const Settings& settings);

// This machine's graphics cards; logs them. Cards that cannot be asked count as absent.
using Cards = std::vector<engine::GraphicsCard>;
io::Task<Cards> find_cards(io::World& world, const NodePaths& paths);

Result<std::unique_ptr<scheduler::LocalScheduler>> make_scheduler(io::World& world,
                                                                  const Settings& settings,
                                                                  const NodePaths& paths,
                                                                  const Cards& cards);
// An entry of server.listen, and its address on this machine.
struct ListenAddress {
  HostPort named;
  io::Endpoint at;

  bool is_secure() const { return named.scheme == "https"; }
};
// Looks each name up and takes one address of it, preferably IPv4, as Go does. not_found: no such
// name. unavailable, deadline_exceeded: it cannot be looked up now.
io::Task<Result<std::vector<ListenAddress>>> find_listen_addresses(io::NameService& names,
                                                                   const Settings& settings,
                                                                   io::Call call);

api::Settings make_api_settings(const Settings& settings, const std::string& name,
                                const std::vector<ListenAddress>& listen);

// For the addresses that begin with https://; null: there are none. invalid_argument: they have no
// certificate, or there is one and no such address.
Result<std::shared_ptr<const io::Tls>> make_server_tls(const Settings& settings,
                                                       const std::vector<ListenAddress>& listen);

}  // namespace om::app
