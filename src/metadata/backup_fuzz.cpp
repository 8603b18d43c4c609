// Any bytes as a backup, as they are and with a checksum that fits: read or refused, and what is
// read is what it is written as.
#include <cstdint>

#include "base/check.h"
#include "base/digest.h"
#include "metadata/backup.h"

namespace om::metadata {
namespace {

bool are_equal(const Snapshot& one, const Snapshot& other) {
  const auto fact = [](const Entry& entry) { return std::tie(entry.key, entry.value); };
  return std::ranges::equal(one.entries, other.entries, {}, fact, fact);
}

void read(std::string_view text) {
  const auto snapshot = read_backup(text);
  if (!snapshot) {
    CHECK(!snapshot.error().what.empty());
    return;
  }
  const auto again = read_backup(write_backup(*snapshot));
  CHECK(again && are_equal(*again, *snapshot));
}

}  // namespace
}  // namespace om::metadata

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string text(reinterpret_cast<const char*>(data), size);
  om::metadata::read(text);
  if (!text.ends_with('\n')) text += '\n';
  text += fmt::format("{{\"sha256\":\"{}\"}}\n", om::Digest::of(text).hex());
  om::metadata::read(text);
  return 0;
}
