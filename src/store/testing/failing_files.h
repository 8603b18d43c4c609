// A file system some of whose places are broken.
#pragma once

#include <pthread.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/world.h"

namespace om::store::testing {

// Passes everything on, but for a folder that cannot be listed and a file that can be opened and
// not read. Empty: none.
class FailingFiles final : public io::Filesystem {
 public:
  explicit FailingFiles(io::Filesystem& inner) : inner_(inner) {}

  // The same world, but for its disk.
  io::World world_with(const io::World& world) {
    return {world.executor, world.clock,     world.random, world.network,
            *this,          world.processes, world.workers};
  }

  io::Path fail_list, fail_read;
  std::function<io::Space()> told_space;  // Empty: the disk's own.
  size_t looks_of_maker = 0;              // Asked of what lies here by the thread that made this.

  Result<std::unique_ptr<io::File>> open(const io::Path& path, Open mode) override {
    note_look();
    TRY(auto file, inner_.open(path, mode));
    if (path != fail_read) return file;
    return std::make_unique<Unreadable>(std::move(file));
  }
  Result<io::FileInfo> info(const io::Path& path) override {
    note_look();
    return inner_.info(path);
  }
  Result<std::vector<std::string>> list(const io::Path& directory) override {
    note_look();
    if (directory == fail_list) return broken();
    return inner_.list(directory);
  }
  Result<void> make_directories(const io::Path& path) override {
    return inner_.make_directories(path);
  }
  Result<void> rename(const io::Path& from, const io::Path& to) override {
    return inner_.rename(from, to);
  }
  Result<void> link(const io::Path& from, const io::Path& to) override {
    return inner_.link(from, to);
  }
  Result<void> remove(const io::Path& path) override { return inner_.remove(path); }
  Result<void> remove_all(const io::Path& path) override { return inner_.remove_all(path); }
  Result<void> sync_directory(const io::Path& path) override { return inner_.sync_directory(path); }
  Result<void> set_mode(const io::Path& path, unsigned mode) override {
    return inner_.set_mode(path, mode);
  }
  Result<io::Space> space(const io::Path& path) override {
    if (told_space) return told_space();
    return inner_.space(path);
  }
  std::string unique_suffix() const override { return inner_.unique_suffix(); }

 private:
  static std::unexpected<Error> broken() { return fail(Errc::io_failed, "Input/output error"); }
  // Its second half is lost.
  class Unreadable final : public io::File {
   public:
    explicit Unreadable(std::unique_ptr<io::File> inner) : inner_(std::move(inner)) {}
    Result<size_t> read_at(uint64_t offset, std::span<char> into) override {
      TRY(const uint64_t length, inner_->size());
      if (offset + into.size() > length / 2) return broken();
      return inner_->read_at(offset, into);
    }
    Result<void> write_at(uint64_t offset, std::string_view data) override {
      return inner_->write_at(offset, data);
    }
    Result<uint64_t> size() override { return inner_->size(); }
    Result<void> truncate(uint64_t size) override { return inner_->truncate(size); }
    Result<void> sync() override { return inner_->sync(); }
    Result<void> lock(bool exclusive, bool wait) override { return inner_->lock(exclusive, wait); }

   private:
    std::unique_ptr<io::File> inner_;
  };

  void note_look() {
    if (::pthread_equal(maker_, ::pthread_self()) != 0) looks_of_maker++;
  }

  io::Filesystem& inner_;
  const pthread_t maker_ = ::pthread_self();
};

}  // namespace om::store::testing
