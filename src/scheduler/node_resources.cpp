#include "scheduler/node_resources.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <optional>

#include "base/memory/memory_sample.h"
#include "io/pseudo_file.h"

namespace om::scheduler {
namespace {

std::optional<int64_t> leading_number(std::string_view text) {
  int64_t value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec != std::errc{}) return std::nullopt;
  return value;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  return text;
}

std::string_view line_value(std::string_view text, std::string_view name) {
  size_t at = 0;
  while (at < text.size()) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    if (line.starts_with(name) && line.substr(name.size()).starts_with(':')) {
      return trimmed(line.substr(name.size() + 1));
    }
    at = end + 1;
  }
  return {};
}

// Where a limit of a group and of those around it stands, from the root down to it. In a container
// the root of /sys/fs/cgroup is our own group, as a service or a job we are somewhere below it.
std::vector<io::Path> limit_files(const io::Path& root, std::string_view group,
                                  std::string_view name) {
  std::vector<io::Path> paths;
  for (const std::string_view around : groups_around(group)) {
    paths.push_back(io::join(root + std::string(around), name));
  }
  return paths;
}

void limit_memory(io::Filesystem& files, const CgroupPaths& own, NodeResources& node) {
  std::vector<io::Path> paths =
      limit_files("/sys/fs/cgroup", own.unified.value_or("/"), "memory.max");
  std::ranges::move(
      limit_files("/sys/fs/cgroup/memory", own.memory_v1.value_or("/"), "memory.limit_in_bytes"),
      std::back_inserter(paths));
  for (const io::Path& path : paths) {
    const auto limit = parse_cgroup_limit(io::read_pseudo_file(files, path));
    if (!limit || limit->value_or(0) == 0 || **limit >= node.memory_total) continue;
    node.memory_total = **limit;
  }
}

void limit_processors(io::Filesystem& files, const CgroupPaths& own, NodeResources& node) {
  const auto limit = [&node](std::optional<int64_t> used, std::optional<int64_t> period) {
    if (!used || !period || *used <= 0 || *period <= 0) return;
    const double share = static_cast<double>(*used) / static_cast<double>(*period);
    node.processors = std::min(node.processors, share);
  };
  for (const io::Path& path : limit_files("/sys/fs/cgroup", own.unified.value_or("/"), "cpu.max")) {
    const std::string quota = io::read_pseudo_file(files, path);  // "200000 100000"
    limit(leading_number(quota),
          leading_number(trimmed(std::string_view(quota).substr(quota.find(' ') + 1))));
  }
  const std::string group = own.cpu_v1.value_or("/");
  const auto periods = limit_files("/sys/fs/cgroup/cpu", group, "cpu.cfs_period_us");
  size_t at = 0;
  for (const io::Path& path : limit_files("/sys/fs/cgroup/cpu", group, "cpu.cfs_quota_us")) {
    limit(leading_number(io::read_pseudo_file(files, path)),
          leading_number(io::read_pseudo_file(files, periods[at++])));
  }
}

}  // namespace

uint64_t meminfo_bytes(std::string_view text, std::string_view name) {
  const auto kilobytes = leading_number(line_value(text, name));
  return kilobytes && *kilobytes > 0 ? static_cast<uint64_t>(*kilobytes) * 1024 : 0;
}

int count_cpus(std::string_view list) {
  list = trimmed(list);
  int count = 0;
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    const std::string_view range = list.substr(0, comma);
    const auto first = leading_number(range);
    if (!first) return 0;
    const size_t dash = range.find('-');
    const auto last =
        dash == std::string_view::npos ? first : leading_number(range.substr(dash + 1));
    if (!last || *last < *first || *last - *first > 100'000) return 0;
    count += static_cast<int>(*last - *first + 1);
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return count;
}

NodeResources read_node_resources(io::Filesystem& files) {
  NodeResources node;
  const std::string memory = io::read_pseudo_file(files, "/proc/meminfo");
  node.memory_total = meminfo_bytes(memory, "MemTotal");
  const std::string status = io::read_pseudo_file(files, "/proc/self/status");
  node.processors = std::max(1, count_cpus(line_value(status, "Cpus_allowed_list")));
  const CgroupPaths own = parse_cgroup_paths(io::read_pseudo_file(files, "/proc/self/cgroup"));
  limit_memory(files, own, node);
  limit_processors(files, own, node);
  node.cores = std::max(1, static_cast<int>(node.processors));
  return node;
}

}  // namespace om::scheduler
