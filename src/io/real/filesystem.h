// POSIX files.
#pragma once

#include "io/filesystem.h"
#include "io/random.h"

namespace om::io {

class RealFilesystem final : public Filesystem {
 public:
  explicit RealFilesystem(Random& random) : life_(random.letters(8)) {}
  Result<std::unique_ptr<File>> open(const Path& path, Open mode) override;
  Result<FileInfo> info(const Path& path) override;
  Result<std::vector<std::string>> list(const Path& directory) override;
  Result<void> make_directories(const Path& path) override;
  Result<void> rename(const Path& from, const Path& to) override;
  Result<void> link(const Path& from, const Path& to) override;
  Result<void> remove(const Path& path) override;
  Result<void> remove_all(const Path& path) override;
  Result<void> sync_directory(const Path& path) override;
  Result<void> set_mode(const Path& path, unsigned mode) override;
  Result<Space> space(const Path& path) override;
  std::string unique_suffix() const override;

 private:
  // In a container the process has the same id each time, and in two of them at once.
  std::string life_;
};

}  // namespace om::io
