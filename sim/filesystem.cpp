#include "sim/filesystem.h"

namespace om::sim {

class SimFile final : public io::File {
 public:
  SimFile(SimFilesystem& files, std::shared_ptr<SimFilesystem::Inode> inode, io::Path path)
      : files_(files),
        inode_(std::move(inode)),
        path_(std::move(path)),
        generation_(files.generation_) {}
  ~SimFile() override { unlock(); }

  Result<size_t> read_at(uint64_t offset, std::span<char> into) override {
    TRY_VOID(usable());
    const std::string& data = inode_->data;
    if (offset >= data.size()) return size_t{0};
    const size_t count = std::min<size_t>(into.size(), data.size() - offset);
    std::memcpy(into.data(), data.data() + offset, count);
    return count;
  }
  Result<void> write_at(uint64_t offset, std::string_view bytes) override {
    TRY_VOID(usable());
    TRY_VOID(files_.count_call("write"));
    std::string& data = inode_->data;
    const uint64_t end = std::max<uint64_t>(data.size(), offset + bytes.size());
    if (files_.used() + (end - data.size()) > files_.space_) {
      return fail(Errc::io_failed, "{}: No space left on device", path_);
    }
    if (data.size() < end) data.resize(end);
    std::memcpy(data.data() + offset, bytes.data(), bytes.size());
    inode_->modified = files_.clock_.wall_now();
    return {};
  }
  Result<uint64_t> size() override {
    TRY_VOID(usable());
    return inode_->data.size();
  }
  Result<void> truncate(uint64_t size) override {
    TRY_VOID(usable());
    TRY_VOID(files_.count_call("truncate"));
    inode_->data.resize(size);
    return {};
  }
  Result<void> sync() override {
    TRY_VOID(usable());
    TRY_VOID(files_.count_call("sync"));
    inode_->synced = inode_->data;
    return {};
  }
  Result<void> lock(bool exclusive, bool wait) override {
    TRY_VOID(usable());
    unlock();
    if (inode_->locks < 0 || (exclusive && inode_->locks > 0)) {
      // One process is simulated: waiting for itself would never end.
      return fail(wait ? Errc::internal : Errc::overloaded, "{}: locked", path_);
    }
    held_ = exclusive ? -1 : 1;
    inode_->locks += held_;
    return {};
  }

 private:
  Result<void> usable() const {
    if (generation_ == files_.generation_) return {};
    return fail(Errc::io_failed, "{}: the machine crashed", path_);
  }
  void unlock() {
    inode_->locks -= held_;
    held_ = 0;
  }

  SimFilesystem& files_;
  std::shared_ptr<SimFilesystem::Inode> inode_;
  io::Path path_;
  uint64_t generation_;
  int held_ = 0;
};

Result<void> SimFilesystem::count_call(std::string_view what) {
  calls_++;
  if (fail_from_ != 0 && calls_ >= fail_from_) {
    return fail(Errc::io_failed, "{}: the power went out", what);
  }
  return {};
}

uint64_t SimFilesystem::used() const {
  uint64_t total = 0;
  for (const auto& [path, inode] : entries_) total += inode->data.size();
  return total;
}

void SimFilesystem::crash() {
  generation_++;
  fail_from_ = 0;
  entries_.clear();
  for (const auto& [path, inode] : durable_) {
    auto survivor = std::make_shared<Inode>(*inode);
    survivor->data = survivor->synced;
    survivor->locks = 0;
    entries_[path] = survivor;
  }
  durable_ = entries_;
}

std::unique_ptr<SimFilesystem> SimFilesystem::survivor(bool power_lost) const {
  auto next = std::make_unique<SimFilesystem>(*this);
  next->calls_ = next->fail_from_ = 0;
  if (power_lost) {
    next->crash();
    return next;
  }
  std::map<const Inode*, std::shared_ptr<Inode>> copies;  // One file may have several names.
  for (auto* names : {&next->entries_, &next->durable_}) {
    for (auto& [path, inode] : *names) {
      auto& copy = copies[inode.get()];
      if (!copy) copy = std::make_shared<Inode>(*inode);
      copy->locks = 0;
      inode = copy;
    }
  }
  return next;
}

Result<std::unique_ptr<io::File>> SimFilesystem::open(const io::Path& path, Open mode) {
  const auto found = entries_.find(path);
  if (found != entries_.end()) {
    if (mode == Open::create_new) return fail(Errc::already_exists, "{}: File exists", path);
    return std::make_unique<SimFile>(*this, found->second, path);
  }
  if (mode == Open::read || mode == Open::read_write) {
    return fail(Errc::not_found, "{}: No such file or directory", path);
  }
  if (!directories_.contains(io::parent(path))) {
    return fail(Errc::not_found, "{}: No such file or directory", path);
  }
  TRY_VOID(count_call("create"));
  auto inode = std::make_shared<Inode>();
  inode->modified = clock_.wall_now();
  entries_[path] = inode;
  return std::make_unique<SimFile>(*this, inode, path);
}

Result<io::FileInfo> SimFilesystem::info(const io::Path& path) {
  if (directories_.contains(path)) return io::FileInfo{0, true, {}};
  const auto found = entries_.find(path);
  if (found == entries_.end()) {
    return fail(Errc::not_found, "{}: No such file or directory", path);
  }
  return io::FileInfo{found->second->data.size(), false, found->second->modified};
}

Result<std::vector<std::string>> SimFilesystem::list(const io::Path& directory) {
  if (!directories_.contains(directory)) {
    return fail(Errc::not_found, "{}: No such file or directory", directory);
  }
  std::set<std::string> names;
  const auto add = [&](const io::Path& path) {
    if (path != directory && io::parent(path) == directory) {
      names.insert(path.substr(path.rfind('/') + 1));
    }
  };
  for (const auto& [path, inode] : entries_) add(path);
  for (const auto& path : directories_) add(path);
  return std::vector<std::string>(names.begin(), names.end());
}

Result<void> SimFilesystem::make_directories(const io::Path& path) {
  if (directories_.contains(path)) return {};
  TRY_VOID(count_call("mkdir"));
  for (io::Path part = path; part != "/" && part != "."; part = io::parent(part)) {
    directories_.insert(part);
  }
  return {};
}

Result<void> SimFilesystem::rename(const io::Path& from, const io::Path& to) {
  TRY_VOID(count_call("rename"));
  const auto found = entries_.find(from);
  if (found == entries_.end()) {
    return fail(Errc::not_found, "{}: No such file or directory", from);
  }
  auto inode = found->second;
  entries_.erase(found);
  entries_[to] = inode;
  return {};
}

Result<void> SimFilesystem::link(const io::Path& from, const io::Path& to) {
  TRY_VOID(count_call("link"));
  const auto found = entries_.find(from);
  if (found == entries_.end()) {
    return fail(Errc::not_found, "{}: No such file or directory", from);
  }
  if (entries_.contains(to)) return fail(Errc::already_exists, "{}: File exists", to);
  entries_[to] = found->second;
  return {};
}

Result<void> SimFilesystem::remove(const io::Path& path) {
  TRY_VOID(count_call("remove"));
  if (entries_.erase(path) > 0) return {};
  if (!directories_.contains(path)) {
    return fail(Errc::not_found, "{}: No such file or directory", path);
  }
  TRY(const auto inside, list(path));
  if (!inside.empty()) return fail(Errc::io_failed, "{}: Directory not empty", path);
  directories_.erase(path);
  return {};
}

Result<void> SimFilesystem::remove_all(const io::Path& path) {
  TRY_VOID(count_call("remove"));
  const auto inside = [&](const io::Path& other) {
    return other == path || other.starts_with(path + "/");
  };
  std::erase_if(entries_, [&](const auto& entry) { return inside(entry.first); });
  std::erase_if(directories_, inside);
  return {};
}

Result<void> SimFilesystem::sync_directory(const io::Path& path) {
  TRY_VOID(count_call("sync directory"));
  const auto here = [&](const auto& entry) { return io::parent(entry.first) == path; };
  std::erase_if(durable_, here);
  for (const auto& entry : entries_) {
    if (here(entry)) durable_.insert(entry);
  }
  return {};
}

Result<void> SimFilesystem::set_mode(const io::Path& path, unsigned) {
  TRY_VOID(info(path));
  return {};
}

Result<io::Space> SimFilesystem::space(const io::Path&) {
  return io::Space{space_, space_ - std::min(space_, used())};
}

}  // namespace om::sim
