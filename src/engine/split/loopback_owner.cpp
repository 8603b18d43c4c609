#include "engine/split/loopback_owner.h"

#include <unistd.h>

#include "base/strings.h"
#include "io/pseudo_file.h"

namespace om::engine {
namespace {

constexpr size_t kTableBytesMax = 8 << 20;
constexpr size_t kLocalColumn = 1, kRemoteColumn = 2, kUserColumn = 7;

// The nth word of a line, by blanks.
std::string_view word(std::string_view line, size_t number) {
  for (size_t i = 0;; i++) {
    const size_t start = line.find_first_not_of(' ');
    if (start == line.npos) return {};
    line.remove_prefix(start);
    const size_t end = std::min(line.find(' '), line.size());
    if (i == number) return line.substr(0, end);
    line.remove_prefix(end);
  }
}

}  // namespace

bool is_owned_by(std::string_view table, uint16_t port, uint16_t listener, uint32_t user) {
  const std::string local = fmt::format("0100007F:{:04X}", port);
  const std::string remote = fmt::format("0100007F:{:04X}", listener);
  while (!table.empty()) {
    const size_t end = std::min(table.find('\n'), table.size());
    const std::string_view line = table.substr(0, end);
    table.remove_prefix(std::min(end + 1, table.size()));
    if (word(line, kLocalColumn) != local || word(line, kRemoteColumn) != remote) continue;
    return word(line, kUserColumn) == fmt::format("{}", user);
  }
  return false;
}

bool is_own_connection(io::Filesystem& files, std::string_view peer, uint16_t listener) {
  const size_t colon = peer.rfind(':');
  if (colon == peer.npos || !peer.starts_with("127.0.0.1:")) return false;
  const auto port = parse_number<uint16_t>(peer.substr(colon + 1));
  if (!port) return false;
  const std::string table = io::read_pseudo_file(files, "/proc/net/tcp", kTableBytesMax);
  return is_owned_by(table, *port, listener, ::geteuid());
}

}  // namespace om::engine
