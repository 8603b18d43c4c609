#include "app/own_files.h"

#include <algorithm>

#include "store/disk_space.h"

namespace om::app {
namespace {

constexpr std::chrono::seconds kAgeMax{1};

}  // namespace

OwnFiles::Blobs OwnFiles::blobs() {
  const bool is_old = !blobs_ || world_.clock.now() - looked_at_ >= kAgeMax;
  if (is_old && !looking_ && !tasks_.token().cancelled()) {
    looking_ = true;  // It starts with the next turn of the io thread.
    tasks_.spawn(look());
  }
  return blobs_;
}

bool OwnFiles::has(const Digest& blob) const {
  return blobs_ && std::ranges::binary_search(*blobs_, blob);
}

io::Task<void> OwnFiles::look() {
  looking_ = true;
  looked_at_ = world_.clock.now();
  added_.clear();
  auto list = [this] { return disk_.blobs(); };
  auto blobs = co_await world_.workers.run(list);
  auto measure = [this] { return world_.files.space(disk_.root()); };
  const auto space = co_await world_.workers.run(measure);
  looking_ = false;
  if (space) {
    // What the store would not give to a model is no room for one.
    const uint64_t kept = std::min(space->available, store::kept_free(*space));
    bytes_free_ = (space->available - kept) >> 30 << 30;
  }
  if (!blobs) co_return;
  blobs->insert(blobs->end(), added_.begin(), added_.end());
  set(std::move(*blobs));
}

void OwnFiles::add(const store::Model& model) {
  std::vector<Digest> unknown = model.manifest.digests();
  std::erase_if(unknown, [this](const Digest& blob) { return has(blob); });
  if (unknown.empty() || tasks_.token().cancelled()) return;
  tasks_.spawn(add_present(model.weights, std::move(unknown)));
}

// Of a model that was made elsewhere the weights are not here, and nothing else is looked for.
io::Task<void> OwnFiles::add_present(Digest weights, std::vector<Digest> unknown) {
  auto find = [this, weights, &unknown] {
    const auto is_gone = [this](const Digest& blob) { return !disk_.blob_size(blob); };
    if (is_gone(weights)) unknown.clear();
    std::erase_if(unknown, is_gone);
    return unknown;
  };
  std::vector<Digest> blobs = co_await world_.workers.run(find);
  if (blobs.empty()) co_return;
  added_.insert(added_.end(), blobs.begin(), blobs.end());
  if (blobs_) blobs.insert(blobs.end(), blobs_->begin(), blobs_->end());
  set(std::move(blobs));
}

// Where nothing has changed it is the same list: who compares reports sees no news.
void OwnFiles::set(std::vector<Digest> blobs) {
  std::ranges::sort(blobs);
  const auto twice = std::ranges::unique(blobs);
  blobs.erase(twice.begin(), twice.end());
  if (!blobs_ || *blobs_ != blobs) {
    blobs_ = std::make_shared<const std::vector<Digest>>(std::move(blobs));
  }
}

}  // namespace om::app
