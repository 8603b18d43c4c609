#include "sim/filesystem.h"

#include <algorithm>
#include <array>

namespace om::sim {
namespace {

constexpr size_t kSectorBytes = 512;  // Written as a whole or not at all.

}  // namespace

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
    const uint64_t room = files_.space_ - std::min(files_.space_, files_.used());
    const uint64_t end = std::min<uint64_t>(offset + bytes.size(), data.size() + room);
    // A disk that runs full takes what fits.
    const std::string_view fitting = bytes.substr(0, end - std::min(end, offset));
    if (!fitting.empty()) {
      if (data.size() < end) data.resize(end);
      std::memcpy(data.data() + offset, fitting.data(), fitting.size());
      inode_->touch(files_.clock_.wall_now());
    }
    if (fitting.size() == bytes.size()) return {};
    return fail(Errc::io_failed, "{}: No space left on device", path_);
  }
  Result<uint64_t> size() override {
    TRY_VOID(usable());
    return inode_->data.size();
  }
  Result<void> truncate(uint64_t size) override {
    TRY_VOID(usable());
    TRY_VOID(files_.count_call("truncate"));
    inode_->data.resize(size);
    inode_->touch(files_.clock_.wall_now());
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

void SimFilesystem::apply(const Change& change, Entries& to) {
  for (const auto& [path, inode] : change) {
    if (inode) {
      to[path] = inode;
    } else {
      to.erase(path);
    }
  }
}

void SimFilesystem::change(Change change) {
  apply(change, entries_);
  changes_.push_back(std::move(change));
  if (changes_.size() <= kChangesMax) return;
  apply(changes_.front(), durable_);
  changes_.pop_front();
}

void SimFilesystem::lose_power(const std::function<std::string(const Inode&)>& found_of) {
  generation_++;
  fail_from_ = 0;
  changes_.clear();
  std::map<const Inode*, std::shared_ptr<Inode>> survivors;  // One file may have several names.
  for (auto& [path, inode] : durable_) {
    auto& survivor = survivors[inode.get()];
    if (!survivor) {
      survivor = std::make_shared<Inode>(*inode);
      survivor->data = survivor->synced = found_of(*inode);
      survivor->locks = 0;
    }
    inode = survivor;
  }
  entries_ = durable_;
}

void SimFilesystem::crash() {
  lose_power([](const Inode& inode) { return inode.synced; });
}

void SimFilesystem::crash(SimRandom& random) {
  for (const Change& change : changes_) {
    if (random.chance(0.5)) apply(change, durable_);
  }
  lose_power([&random](const Inode& inode) { return torn(inode, random); });
}

void SimFilesystem::crash(uint64_t draw) {
  if (draw == 0) return crash();
  SimRandom random(draw);
  crash(random);
}

std::string SimFilesystem::torn(const Inode& inode, SimRandom& random) {
  const std::string& now = inode.data;
  std::string found = inode.synced;
  if (found == now) return found;
  const auto [shorter, longer] = std::minmax({found.size(), now.size()});
  const std::array<size_t, 3> lengths{
      found.size(), now.size(), random.between(shorter, longer) / kSectorBytes * kSectorBytes};
  found.resize(lengths[random.between(0, 2)]);
  const double new_part = random.unit() * 1.5 - 0.25;  // Sometimes none, sometimes all.
  for (size_t at = 0; at < std::min(found.size(), now.size()); at += kSectorBytes) {
    const size_t count = std::min({kSectorBytes, found.size() - at, now.size() - at});
    if (random.chance(new_part)) now.copy(found.data() + at, count, at);
  }
  return found;
}

void SimFilesystem::rot(const io::Path& path, uint64_t draw) {
  Inode& inode = *entries_.at(path);
  const size_t at = draw % inode.data.size();
  inode.data[at] ^= 1;
  if (at < inode.synced.size()) inode.synced[at] ^= 1;
  inode.rotten = true;
}

bool SimFilesystem::is_rotten(const io::Path& path) const {
  const auto entry = entries_.find(path);
  return entry != entries_.end() && entry->second->rotten;
}

std::unique_ptr<SimFilesystem> SimFilesystem::survivor(SimRandom* random) const {
  auto next = std::make_unique<SimFilesystem>(*this);
  next->calls_ = next->fail_from_ = 0;
  if (random) {
    next->crash(*random);
    return next;
  }
  std::map<const Inode*, std::shared_ptr<Inode>> copies;
  const auto copy = [&copies](std::shared_ptr<Inode>& inode) {
    if (!inode) return;
    auto& copied = copies[inode.get()];
    if (!copied) copied = std::make_shared<Inode>(*inode);
    copied->locks = 0;
    inode = copied;
  };
  for (auto& [path, inode] : next->entries_) copy(inode);
  for (auto& [path, inode] : next->durable_) copy(inode);
  for (Change& change : next->changes_) {
    for (auto& [path, inode] : change) copy(inode);
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
  inode->touch(clock_.wall_now());
  change({{path, inode}});
  return std::make_unique<SimFile>(*this, inode, path);
}

Result<io::FileInfo> SimFilesystem::info(const io::Path& path) {
  if (directories_.contains(path)) return io::FileInfo{0, true, {}};
  const auto found = entries_.find(path);
  if (found == entries_.end()) {
    return fail(Errc::not_found, "{}: No such file or directory", path);
  }
  const Inode& inode = *found->second;
  return io::FileInfo{inode.data.size(), false, inode.modified, inode.changed};
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
  if (from == to) return {};
  const auto inode = found->second;
  inode->changed = clock_.wall_now();
  change({{from, nullptr}, {to, inode}});
  return {};
}

Result<void> SimFilesystem::link(const io::Path& from, const io::Path& to) {
  TRY_VOID(count_call("link"));
  const auto found = entries_.find(from);
  if (found == entries_.end()) {
    return fail(Errc::not_found, "{}: No such file or directory", from);
  }
  if (entries_.contains(to)) return fail(Errc::already_exists, "{}: File exists", to);
  const auto inode = found->second;
  inode->changed = clock_.wall_now();
  change({{to, inode}});
  return {};
}

Result<void> SimFilesystem::remove(const io::Path& path) {
  TRY_VOID(count_call("remove"));
  if (entries_.contains(path)) {
    change({{path, nullptr}});
    return {};
  }
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
  std::vector<io::Path> gone;
  for (const auto& [name, inode] : entries_) {
    if (inside(name)) gone.push_back(name);
  }
  for (const io::Path& name : gone) change({{name, nullptr}});
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
  for (Change& change : changes_) std::erase_if(change, here);
  std::erase_if(changes_, [](const Change& change) { return change.empty(); });
  return {};
}

Result<void> SimFilesystem::set_mode(const io::Path& path, unsigned) {
  TRY_VOID(info(path));
  if (const auto found = entries_.find(path); found != entries_.end()) {
    found->second->changed = clock_.wall_now();
  }
  return {};
}

Result<io::Space> SimFilesystem::space(const io::Path&) {
  return io::Space{space_, space_ - std::min(space_, used())};
}

}  // namespace om::sim
