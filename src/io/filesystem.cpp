#include "io/filesystem.h"

#include <atomic>

namespace om::io {

Path join(std::string_view directory, std::string_view name) {
  if (directory.empty() || directory.ends_with('/')) return fmt::format("{}{}", directory, name);
  return fmt::format("{}/{}", directory, name);
}

std::string parent(std::string_view path) {
  const size_t slash = path.find_last_of('/');
  if (slash == std::string_view::npos) return ".";
  return std::string(slash == 0 ? "/" : path.substr(0, slash));
}

Result<std::string> Filesystem::read_file(const Path& path, uint64_t size_max) {
  TRY(auto file, open(path, Open::read));
  TRY(const uint64_t size, file->size());
  if (size > size_max) {
    return fail(Errc::overloaded, "{}: {} bytes, more than the {} expected at most", path, size,
                size_max);
  }
  std::string data(size, '\0');
  size_t filled = 0;
  while (filled < data.size()) {
    TRY(const size_t count, file->read_at(filled, std::span(data).subspan(filled)));
    if (count == 0) break;
    filled += count;
  }
  data.resize(filled);
  return data;
}

Result<void> Filesystem::write_file(const Path& path, std::string_view data) {
  // Unique within this process; what tells it from others is part of the name.
  static std::atomic<uint64_t> counter{0};
  const Path temporary = fmt::format("{}.{}.{}.tmp", path, unique_suffix(), counter++);
  auto written = [&]() -> Result<void> {
    TRY(auto file, open(temporary, Open::create_new));
    TRY_VOID(file->write_at(0, data));
    TRY_VOID(file->sync());
    file.reset();
    TRY_VOID(rename(temporary, path));
    return sync_directory(parent(path));
  }();
  if (!written) (void)remove(temporary);  // The first error is the one to tell.
  return written;
}

}  // namespace om::io
