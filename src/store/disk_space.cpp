#include "store/disk_space.h"

namespace om::store {
namespace {

std::string full_text(const io::Path& directory, uint64_t needed, uint64_t available) {
  return fmt::format("not enough disk space in {}: {} needed ({} bytes), {} free ({} bytes)",
                     directory, human_bytes(needed), needed, human_bytes(available), available);
}

}  // namespace

std::string human_bytes(uint64_t bytes) {
  static constexpr std::array<std::string_view, 5> kUnits{"B", "KB", "MB", "GB", "TB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1000 && unit + 1 < kUnits.size()) {
    value /= 1000;
    unit++;
  }
  if (unit == 0) return fmt::format("{} B", bytes);
  return value < 10 ? fmt::format("{:.1f} {}", value, kUnits[unit])
                    : fmt::format("{:.0f} {}", value, kUnits[unit]);
}

Result<void> require_space(io::Filesystem& files, const io::Path& directory, uint64_t needed) {
  TRY(const auto space, files.space(directory));
  if (space.available >= needed) return {};
  return fail(Errc::io_failed, "{}", full_text(directory, needed, space.available));
}

Error explain_write_error(io::Filesystem& files, const io::Path& directory, Error error,
                          uint64_t needed) {
  if (error.code != Errc::io_failed) return error;
  const auto space = files.space(directory);
  if (!space || space->available >= needed) return error;
  return {Errc::io_failed, full_text(directory, needed, space->available)};
}

}  // namespace om::store
