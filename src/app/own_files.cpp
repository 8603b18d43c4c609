#include "app/own_files.h"

#include <algorithm>

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
  if (space) bytes_free_ = space->available >> 30 << 30;
  if (!blobs) co_return;
  blobs->insert(blobs->end(), added_.begin(), added_.end());
  set(std::move(*blobs));
}

void OwnFiles::add(const store::Model& model) {
  const auto is_new = [this](const Digest& blob) {
    return !has(blob) && disk_.blob_size(blob).has_value();
  };
  if (!has(model.weights) && !is_new(model.weights)) return;
  std::vector<Digest> blobs;
  if (is_new(model.manifest.config.digest)) blobs.push_back(model.manifest.config.digest);
  for (const model::Layer& layer : model.manifest.layers) {
    if (is_new(layer.digest)) blobs.push_back(layer.digest);
  }
  if (blobs.empty()) return;
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
