// What the memory governor looks at, and how the kernel's texts say it. Pure functions of bytes:
// app reads the files, on a worker.
//
// Sources: Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst, accounting/psi.rst and
// proc_pid_status(5).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace om {

struct MemorySample {
  uint64_t limit_bytes = 0;  // Of our cgroup, else of the machine; 0: not known.
  uint64_t used_bytes = 0;   // Against that limit, without what the kernel can drop at will.
  uint64_t left_bytes = 0;   // Under all limits that hold for us, the machine's included.
  uint64_t own_bytes = 0;    // Resident memory of this process.
  double some_avg10 = 0;     // PSI: percent of the last 10 s in which some task waited for memory.
  double full_avg10 = 0;     // The same for all tasks at once.
};

// /proc/pressure/memory or memory.pressure.
struct MemoryPressure {
  double some_avg10 = 0;
  double full_avg10 = 0;  // 0 where an old kernel has no such line.
};
Result<MemoryPressure> parse_pressure(std::string_view text);

// /proc/self/cgroup: where our memory controller is, below the mount point of its hierarchy.
struct CgroupPaths {
  std::optional<std::string> unified;    // v2: /sys/fs/cgroup + path.
  std::optional<std::string> memory_v1;  // v1: /sys/fs/cgroup/memory + path.
  std::optional<std::string> cpu_v1;     // v1: /sys/fs/cgroup/cpu + path.
};
CgroupPaths parse_cgroup_paths(std::string_view text);

// A group's path and those of the groups around it, whose limits hold for it, too: the root ("")
// first; at most 32.
std::vector<std::string_view> groups_around(std::string_view group);

// memory.max or memory.limit_in_bytes. Nothing: no limit ("max", or v1's huge number).
Result<std::optional<uint64_t>> parse_cgroup_limit(std::string_view text);

// memory.current or memory.usage_in_bytes.
Result<uint64_t> parse_cgroup_usage(std::string_view text);

// memory.stat (v1 or v2): the bytes of file cache, which includes mapped models. The kernel drops
// them under pressure, so they do not count as used.
Result<uint64_t> parse_file_cache_bytes(std::string_view text);

// VmRSS of /proc/self/status.
Result<uint64_t> parse_resident_bytes(std::string_view text);

// /proc/meminfo, for machines without a cgroup limit: used = total - available.
struct MachineMemory {
  uint64_t total_bytes = 0;
  uint64_t available_bytes = 0;
};
Result<MachineMemory> parse_machine_memory(std::string_view text);

}  // namespace om
