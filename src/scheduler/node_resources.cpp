#include "scheduler/node_resources.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

namespace om::scheduler {
namespace {

constexpr size_t kLimitFilesMax = 32;

// Files of /proc and /sys tell no size: they are read until they end.
std::string read_text(io::Filesystem& files, const std::string& path) {
  auto file = files.open(path, io::Filesystem::Open::read);
  if (!file) return {};
  std::array<char, 16384> buffer{};
  std::string text;
  while (text.size() < 256 * 1024) {
    auto count = (*file)->read_at(text.size(), buffer);
    if (!count || *count == 0) break;
    text.append(buffer.data(), *count);
  }
  return text;
}

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

// Where our group's limit and those of the groups around it stand: in a container the root of
// /sys/fs/cgroup is our own group, as a service or a job we are somewhere below it.
std::vector<std::string> limit_files(std::string_view own_groups) {
  std::vector<std::string> paths = {"/sys/fs/cgroup/memory.max",
                                    "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
  size_t at = 0;
  while (at < own_groups.size() && paths.size() < kLimitFilesMax) {
    const size_t end = std::min(own_groups.find('\n', at), own_groups.size());
    const std::string_view line = own_groups.substr(at, end - at);  // "4:memory:/a/b", "0::/a/b"
    at = end + 1;
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == line.npos || second == line.npos) continue;
    const std::string_view kinds = line.substr(first + 1, second - first - 1);
    if (!kinds.empty() && kinds != "memory") continue;
    for (std::string_view group = line.substr(second + 1); group.size() > 1;
         group = group.substr(0, group.rfind('/'))) {
      if (paths.size() >= kLimitFilesMax) break;
      paths.push_back(kinds.empty()
                          ? fmt::format("/sys/fs/cgroup{}/memory.max", group)
                          : fmt::format("/sys/fs/cgroup/memory{}/memory.limit_in_bytes", group));
    }
  }
  return paths;
}

void limit_by_cgroup(io::Filesystem& files, NodeResources& node) {
  for (const std::string& path : limit_files(read_text(files, "/proc/self/cgroup"))) {
    const auto limit = leading_number(read_text(files, path));  // "max" is no number.
    if (!limit || *limit <= 0) continue;
    const auto bytes = static_cast<uint64_t>(*limit);
    if (bytes >= node.memory_total) continue;
    node.memory_total = bytes;
    node.memory_available = std::min(node.memory_available, bytes);
  }
  const std::string quota = read_text(files, "/sys/fs/cgroup/cpu.max");  // "200000 100000"
  std::optional<int64_t> used = leading_number(quota), period;
  if (used) {
    period = leading_number(trimmed(std::string_view(quota).substr(quota.find(' ') + 1)));
  } else {
    used = leading_number(read_text(files, "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"));
    period = leading_number(read_text(files, "/sys/fs/cgroup/cpu/cpu.cfs_period_us"));
  }
  if (used && period && *used > 0 && *period > 0) {
    node.cores = std::min<int>(node.cores, std::max<int>(1, static_cast<int>(*used / *period)));
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

uint64_t NodeResources::memory_for_models() const {
  return std::min(memory_total / 10 * 9, memory_available / 20 * 19);
}

NodeResources read_node_resources(io::Filesystem& files) {
  NodeResources node;
  const std::string memory = read_text(files, "/proc/meminfo");
  node.memory_total = meminfo_bytes(memory, "MemTotal");
  node.memory_available = meminfo_bytes(memory, "MemAvailable");
  const std::string status = read_text(files, "/proc/self/status");
  node.cores = std::max(1, count_cpus(line_value(status, "Cpus_allowed_list")));
  limit_by_cgroup(files, node);
  return node;
}

}  // namespace om::scheduler
