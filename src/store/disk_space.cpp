#include "store/disk_space.h"

#include <algorithm>

namespace om::store {
namespace {

constexpr uint64_t kKeptFreeMax = uint64_t{1} << 30;

std::string full_text(const io::Path& directory, uint64_t needed, const io::Space& space,
                      uint64_t promised = 0) {
  std::string text = fmt::format(
      "not enough disk space in {}: {} needed ({} bytes), {} free ({} bytes), {} of "
      "which stay free",
      directory, human_bytes(needed), needed, human_bytes(space.available), space.available,
      human_bytes(kept_free(space)));
  if (promised == 0) return text;
  return text + fmt::format(", {} are for other downloads", human_bytes(promised));
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

uint64_t kept_free(const io::Space& space) { return std::min(kKeptFreeMax, space.total / 100); }

Result<void> require_space(io::Filesystem& files, const io::Path& directory, uint64_t needed,
                           uint64_t promised) {
  TRY(const auto space, files.space(directory));
  const uint64_t taken = std::min(space.available, promised + kept_free(space));
  if (space.available - taken >= needed) return {};
  return fail(Errc::io_failed, "{}", full_text(directory, needed, space, promised));
}

Result<void> require_reserve(io::Filesystem& files, const io::Path& directory, uint64_t needed) {
  TRY(const auto space, files.space(directory));
  if (space.available >= kept_free(space)) return {};
  return fail(Errc::io_failed, "{}", full_text(directory, needed, space));
}

Error explain_write_error(io::Filesystem& files, const io::Path& directory, Error error,
                          uint64_t needed) {
  if (error.code != Errc::io_failed) return error;
  const auto space = files.space(directory);
  if (!space || space->available >= needed) return error;
  return {Errc::io_failed, full_text(directory, needed, *space)};
}

}  // namespace om::store
