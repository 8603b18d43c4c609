// This machine's files. Calls block: anything large goes through Workers. Implementations may be
// called from several threads, one thread per File at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/task.h"

namespace om::io {

using Path = std::string;

struct FileInfo {
  uint64_t size = 0;
  bool is_directory = false;
  WallTime modified{};
  WallTime changed{};  // Its bytes, name or mode last; who copies files cannot set it back.
};

struct Space {
  uint64_t total = 0, available = 0;  // Bytes; available to this user.
};

// An open file. Destroying it closes it (and releases its lock) without syncing.
class File {
 public:
  virtual ~File() = default;
  virtual Result<size_t> read_at(uint64_t offset, std::span<char> into) = 0;  // 0 at the end.
  virtual Result<void> write_at(uint64_t offset, std::string_view data) = 0;
  virtual Result<uint64_t> size() = 0;
  virtual Result<void> truncate(uint64_t size) = 0;
  virtual Result<void> sync() = 0;  // Bytes and size are on the disk afterwards.
  // Advisory, between processes. overloaded: another process holds it.
  virtual Result<void> lock(bool exclusive, bool wait) = 0;
  // For what the kernel copies between descriptors; -1: there is none.
  virtual int descriptor() const { return -1; }
};

// Where rooms open, list, rename and remove files. Made by the world, outlives everything in it.
class Filesystem {
 public:
  enum class Open { read, read_write, create, create_new };  // create: made if absent, not cut.

  virtual ~Filesystem() = default;
  // not_found, already_exists (create_new), io_failed (with the path and the reason).
  virtual Result<std::unique_ptr<File>> open(const Path& path, Open mode) = 0;
  virtual Result<FileInfo> info(const Path& path) = 0;                       // not_found.
  virtual Result<std::vector<std::string>> list(const Path& directory) = 0;  // Names, sorted.
  virtual Result<void> make_directories(const Path& path) = 0;  // Existing is fine; mode 0755.
  virtual Result<void> rename(const Path& from, const Path& to) = 0;  // Replaces `to` at once.
  virtual Result<void> link(const Path& from, const Path& to) = 0;    // Hard link.
  virtual Result<void> remove(const Path& path) = 0;  // A file or an empty directory.
  virtual Result<void> remove_all(const Path& path) = 0;
  virtual Result<void> sync_directory(const Path& path) = 0;  // Renames in it are on the disk.
  virtual Result<void> set_mode(const Path& path, unsigned mode) = 0;
  virtual Result<Space> space(const Path& path) = 0;
  // Differs between processes, also those of other containers and of an earlier life of this one;
  // for temporary names.
  virtual std::string unique_suffix() const = 0;

  // Whole small files. write_file is atomic: temporary file, sync, rename, sync of the directory.
  // overloaded from read_file: larger than `size_max`.
  Result<std::string> read_file(const Path& path, uint64_t size_max);
  Result<void> write_file(const Path& path, std::string_view data);
  bool exists(const Path& path) { return info(path).has_value(); }
};

Path join(std::string_view directory, std::string_view name);
std::string parent(std::string_view path);

}  // namespace om::io
