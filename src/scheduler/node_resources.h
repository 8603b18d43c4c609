// What this machine (or the container we are in) has to offer.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "io/filesystem.h"

namespace om::scheduler {

struct NodeResources {
  uint64_t memory_total = 0;  // Installed, or the container's limit. 0: unknown.
  // Processor time we may use, a control group's quota included: 0.5 is half of one processor's.
  double processors = 1;
  // Threads that help a runner: one for each physical core, within the quota. Two threads of one
  // core share its arithmetic, and fast cores would wait for efficiency cores.
  int cores = 1;

  // For all runners together on a machine that does nothing else: the rest is for the system and
  // us.
  uint64_t memory_for_models() const { return memory_total / 10 * 9; }
};

// From /proc, /sys and the control group (versions 1 and 2).
NodeResources read_node_resources(io::Filesystem& files);

// Bytes of a line "MemTotal:  123 kB"; 0 if it is not there.
uint64_t meminfo_bytes(std::string_view text, std::string_view name);
// The processors in a list such as "0-3,8,10-11"; empty: not a list.
std::vector<int> parse_cpus(std::string_view list);

}  // namespace om::scheduler
