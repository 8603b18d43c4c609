#include "io/real/filesystem.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "io/real/descriptor.h"

namespace om::io {
namespace {

std::unexpected<Error> fail_errno(std::string_view path, int error = errno) {
  Errc code = Errc::io_failed;
  if (error == ENOENT || error == ENOTDIR) code = Errc::not_found;
  if (error == EEXIST) code = Errc::already_exists;
  return fail(code, "{}: {}", path, std::strerror(error));
}

class RealFile final : public File {
 public:
  RealFile(Descriptor descriptor, Path path)
      : descriptor_(std::move(descriptor)), path_(std::move(path)) {}

  Result<size_t> read_at(uint64_t offset, std::span<char> into) override {
    while (true) {
      const ssize_t count =
          ::pread(descriptor_.get(), into.data(), into.size(), static_cast<off_t>(offset));
      if (count >= 0) return static_cast<size_t>(count);
      if (errno != EINTR) return fail_errno(path_);
    }
  }
  Result<void> write_at(uint64_t offset, std::string_view data) override {
    while (!data.empty()) {
      const ssize_t count =
          ::pwrite(descriptor_.get(), data.data(), data.size(), static_cast<off_t>(offset));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return fail_errno(path_);
      offset += static_cast<uint64_t>(count);
      data.remove_prefix(static_cast<size_t>(count));
    }
    return {};
  }
  Result<uint64_t> size() override {
    struct stat status{};
    if (::fstat(descriptor_.get(), &status) != 0) return fail_errno(path_);
    return static_cast<uint64_t>(status.st_size);
  }
  Result<void> truncate(uint64_t size) override {
    if (::ftruncate(descriptor_.get(), static_cast<off_t>(size)) != 0) return fail_errno(path_);
    return {};
  }
  int descriptor() const override { return descriptor_.get(); }
  Result<void> sync() override {
    if (::fsync(descriptor_.get()) != 0) return fail_errno(path_);
    return {};
  }
  Result<void> lock(bool exclusive, bool wait) override {
    const int how = (exclusive ? LOCK_EX : LOCK_SH) | (wait ? 0 : LOCK_NB);
    while (::flock(descriptor_.get(), how) != 0) {
      if (errno == EINTR) continue;
      if (errno == EWOULDBLOCK) {
        return fail(Errc::overloaded, "{}: locked by another process", path_);
      }
      return fail_errno(path_);
    }
    return {};
  }

 private:
  Descriptor descriptor_;
  Path path_;
};

int open_flags(Filesystem::Open mode) {
  switch (mode) {
    case Filesystem::Open::read:
      return O_RDONLY;
    case Filesystem::Open::read_write:
      return O_RDWR;
    case Filesystem::Open::create:
      return O_RDWR | O_CREAT;
    case Filesystem::Open::create_new:
      return O_RDWR | O_CREAT | O_EXCL;
  }
  return O_RDONLY;
}

WallTime to_wall_time(const timespec& time) {
  return WallTime(std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec));
}

}  // namespace

Result<std::unique_ptr<File>> RealFilesystem::open(const Path& path, Open mode) {
  Descriptor descriptor(::open(path.c_str(), open_flags(mode) | O_CLOEXEC, 0644));
  if (descriptor.get() < 0) return fail_errno(path);
  return std::make_unique<RealFile>(std::move(descriptor), path);
}

Result<FileInfo> RealFilesystem::info(const Path& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return fail_errno(path);
  FileInfo info;
  info.size = static_cast<uint64_t>(status.st_size);
  info.is_directory = S_ISDIR(status.st_mode);
  info.modified = to_wall_time(status.st_mtim);
  info.changed = to_wall_time(status.st_ctim);
  return info;
}

Result<std::vector<std::string>> RealFilesystem::list(const Path& directory) {
  DIR* stream = ::opendir(directory.c_str());
  if (stream == nullptr) return fail_errno(directory);
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(stream)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  const int error = errno;
  ::closedir(stream);
  if (error != 0) return fail_errno(directory, error);
  std::sort(names.begin(), names.end());
  return names;
}

Result<void> RealFilesystem::make_directories(const Path& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return fail_errno(path, error.value());
  return {};
}

Result<void> RealFilesystem::rename(const Path& from, const Path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) return fail_errno(from + " to " + to);
  return {};
}

Result<void> RealFilesystem::link(const Path& from, const Path& to) {
  if (::link(from.c_str(), to.c_str()) != 0) return fail_errno(from + " to " + to);
  return {};
}

Result<void> RealFilesystem::remove(const Path& path) {
  if (::remove(path.c_str()) != 0) return fail_errno(path);
  return {};
}

Result<void> RealFilesystem::remove_all(const Path& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) return fail_errno(path, error.value());
  return {};
}

Result<void> RealFilesystem::sync_directory(const Path& path) {
  const Descriptor descriptor(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (descriptor.get() < 0 || ::fsync(descriptor.get()) != 0) return fail_errno(path);
  return {};
}

Result<void> RealFilesystem::set_mode(const Path& path, unsigned mode) {
  if (::chmod(path.c_str(), mode) != 0) return fail_errno(path);
  return {};
}

Result<Space> RealFilesystem::space(const Path& path) {
  struct statvfs status{};
  if (::statvfs(path.c_str(), &status) != 0) return fail_errno(path);
  return Space{static_cast<uint64_t>(status.f_blocks) * status.f_frsize,
               static_cast<uint64_t>(status.f_bavail) * status.f_frsize};
}

std::string RealFilesystem::unique_suffix() const {
  return fmt::format("{}-{}", ::getpid(), life_);
}

}  // namespace om::io
