#include "scheduler/node_resources.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>
#include <string>

#include "base/memory/memory_sample.h"
#include "base/strings.h"
#include "io/pseudo_file.h"

namespace om::scheduler {
namespace {

constexpr int64_t kCpusMax = 100'000;

std::optional<int64_t> leading_number(std::string_view text) {
  int64_t value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec != std::errc{}) return std::nullopt;
  return value;
}

std::string_view line_value(std::string_view text, std::string_view name) {
  size_t at = 0;
  while (at < text.size()) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    if (line.starts_with(name) && line.substr(name.size()).starts_with(':')) {
      return trim(line.substr(name.size() + 1));
    }
    at = end + 1;
  }
  return {};
}

// The folders of a group and of those around it, from the root down to it. In a container the root
// of /sys/fs/cgroup is our own group, as a service or a job we are somewhere below it.
std::vector<io::Path> group_folders(const io::Path& root, const std::optional<std::string>& group) {
  std::vector<io::Path> folders;
  for (const std::string_view around : groups_around(group ? *group : "/")) {
    folders.push_back(root + std::string(around));
  }
  return folders;
}

std::string read_in(io::Filesystem& files, const io::Path& folder, std::string_view name) {
  return io::read_pseudo_file(files, io::join(folder, name));
}

void limit_memory(io::Filesystem& files, const CgroupPaths& own, NodeResources& node) {
  const auto limit = [&node](std::string_view text) {
    const auto bytes = parse_cgroup_limit(text);
    if (!bytes || bytes->value_or(0) == 0 || **bytes >= node.memory_total) return;
    node.memory_total = **bytes;
  };
  for (const io::Path& folder : group_folders("/sys/fs/cgroup", own.unified)) {
    limit(read_in(files, folder, "memory.max"));
  }
  for (const io::Path& folder : group_folders("/sys/fs/cgroup/memory", own.memory_v1)) {
    limit(read_in(files, folder, "memory.limit_in_bytes"));
  }
}

void limit_processors(io::Filesystem& files, const CgroupPaths& own, NodeResources& node) {
  const auto limit = [&node](std::string_view quota, std::string_view period) {
    const auto used = leading_number(quota), of = leading_number(period);
    if (!used || !of || *used <= 0 || *of <= 0) return;
    const double share = static_cast<double>(*used) / static_cast<double>(*of);
    node.processors = std::min(node.processors, share);
  };
  for (const io::Path& folder : group_folders("/sys/fs/cgroup", own.unified)) {
    const std::string both = read_in(files, folder, "cpu.max");  // "200000 100000"
    limit(both, trim(std::string_view(both).substr(both.find(' ') + 1)));
  }
  for (const io::Path& folder : group_folders("/sys/fs/cgroup/cpu", own.cpu_v1)) {
    limit(read_in(files, folder, "cpu.cfs_quota_us"), read_in(files, folder, "cpu.cfs_period_us"));
  }
}

// As llama.cpp chooses its threads: physical cores, without efficiency cores where there are
// others. https://github.com/ggml-org/llama.cpp/blob/master/common/common.cpp
// (common_cpu_get_num_math)
int count_cores(io::Filesystem& files, const std::vector<int>& usable) {
  const auto slow_cpus = parse_cpus(io::read_pseudo_file(files, "/sys/devices/cpu_atom/cpus"));
  const std::set<int> slow(slow_cpus.begin(), slow_cpus.end());
  std::set<std::string> fast_cores, slow_cores;
  for (const int cpu : usable) {
    std::string core = io::read_pseudo_file(
        files, fmt::format("/sys/devices/system/cpu/cpu{}/topology/thread_siblings", cpu));
    if (core.empty()) core = fmt::format("cpu{}", cpu);  // Not told: one of its own.
    (slow.contains(cpu) ? slow_cores : fast_cores).insert(std::move(core));
  }
  return static_cast<int>((fast_cores.empty() ? slow_cores : fast_cores).size());
}

// Those we may use include what is switched off, or was never there, which has no core. A container
// may be told others that are online, but not that ones are offline.
std::vector<int> usable_cpus(io::Filesystem& files) {
  const std::string status = io::read_pseudo_file(files, "/proc/self/status");
  std::vector<int> cpus = parse_cpus(line_value(status, "Cpus_allowed_list"));
  const auto listed = parse_cpus(io::read_pseudo_file(files, "/sys/devices/system/cpu/offline"));
  const std::set<int> offline(listed.begin(), listed.end());
  std::erase_if(cpus, [&](int cpu) { return offline.contains(cpu); });
  return cpus;
}

}  // namespace

uint64_t meminfo_bytes(std::string_view text, std::string_view name) {
  const auto kilobytes = leading_number(line_value(text, name));
  return kilobytes && *kilobytes > 0 ? static_cast<uint64_t>(*kilobytes) * 1024 : 0;
}

std::vector<int> parse_cpus(std::string_view list) {
  list = trim(list);
  std::vector<int> cpus;
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    const std::string_view range = list.substr(0, comma);
    const auto first = leading_number(range);
    if (!first) return {};
    const size_t dash = range.find('-');
    const auto last =
        dash == std::string_view::npos ? first : leading_number(range.substr(dash + 1));
    if (!last || *first < 0 || *last < *first || *last >= kCpusMax) return {};
    for (int64_t cpu = *first; cpu <= *last; cpu++) cpus.push_back(static_cast<int>(cpu));
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return cpus;
}

NodeResources read_node_resources(io::Filesystem& files) {
  NodeResources node;
  const std::string memory = io::read_pseudo_file(files, "/proc/meminfo");
  node.memory_total = meminfo_bytes(memory, "MemTotal");
  const std::vector<int> usable = usable_cpus(files);
  node.processors = std::max<double>(1, static_cast<double>(usable.size()));
  const CgroupPaths own = parse_cgroup_paths(io::read_pseudo_file(files, "/proc/self/cgroup"));
  limit_memory(files, own, node);
  limit_processors(files, own, node);
  node.cores = std::max(1, std::min(static_cast<int>(node.processors), count_cores(files, usable)));
  return node;
}

}  // namespace om::scheduler
