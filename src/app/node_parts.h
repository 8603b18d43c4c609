// Small decisions of the node's construction: where its programs lie, what it is called, how much
// memory runners may take.
#pragma once

#include <memory>
#include <string>

#include "api/api.h"
#include "app/settings.h"
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

std::string node_name(const Settings& settings);
bool is_loopback(std::string_view host);

// This machine's graphics cards; logs them. Cards that cannot be asked count as absent.
using Cards = std::vector<engine::GraphicsCard>;
io::Task<Cards> find_cards(io::World& world, const NodePaths& paths);

Result<std::unique_ptr<scheduler::LocalScheduler>> make_scheduler(io::World& world,
                                                                  const Settings& settings,
                                                                  const NodePaths& paths,
                                                                  const Cards& cards);
api::Settings make_api_settings(const Settings& settings, const std::string& name);

}  // namespace om::app
