#include "sim/cluster/copies.h"

#include <algorithm>

#include "base/check.h"
#include "cluster/catalogue.h"
#include "store/layout.h"

namespace om::sim {
namespace {

constexpr auto kLook = std::chrono::milliseconds(500);
constexpr auto kCopiesMax = std::chrono::minutes(3);  // Until the policy has its copies.
constexpr int kWanted = 2;                            // The default policy's factor.

// As they were written.
bool has_all(SimFilesystem& disk, const model::Manifest& manifest) {
  const store::Layout layout{std::string(ClusterNode::kModels)};
  const auto is_there = [&](const model::Layer& layer) {
    const auto path = layout.blob(layer.digest);
    const auto file = disk.info(path);
    return file && file->size == layer.size && !disk.is_rotten(path);
  };
  return is_there(manifest.config) && std::ranges::all_of(manifest.layers, is_there);
}

}  // namespace

int copies_of(const RunParts& parts, const model::Manifest& manifest, bool serving) {
  return static_cast<int>(std::ranges::count_if(parts.nodes, [&](const auto& node) {
    const bool serves = node->node() && node->node()->cluster();
    return (serves || !serving) && has_all(node->disk(), manifest);
  }));
}

void Copies::read_catalogue() {
  std::map<std::string, Known> known;
  for (const metadata::Entry& entry : parts_.facts.all().entries) {
    if (!entry.key.starts_with(cluster::kModelsPrefix)) continue;
    if (const auto found = known_.find(entry.key);
        found != known_.end() && found->second.modified == entry.modified) {
      known.insert(*found);
      continue;
    }
    whole_.erase(entry.key);  // It means another model now.
    const auto card = boost::json::parse(entry.value);
    auto manifest = model::Manifest::parse(card.at("manifest").as_string());
    CHECK(manifest.has_value());
    known.emplace(entry.key, Known{entry.modified, std::move(*manifest)});
  }
  std::erase_if(whole_, [&known](const std::string& key) { return !known.contains(key); });
  known_ = std::move(known);
}

void Copies::look() {
  read_catalogue();
  for (const auto& [key, known] : known_) {
    if (copies_of(parts_, known.manifest, false) > 0) {
      whole_.insert(key);
      continue;
    }
    if (whole_.erase(key) > 0) parts_.complain("the last copy of " + key + " is lost");
  }
}

io::Task<void> Copies::wait() {
  const io::TimePoint end = parts_.world.clock().now() + kCopiesMax;
  const int wanted = std::min(kWanted, static_cast<int>(parts_.nodes.size()));
  read_catalogue();
  const auto known = known_;
  for (const auto& [key, model] : known) {
    if (copies_of(parts_, model.manifest, false) == 0) continue;
    int copies = copies_of(parts_, model.manifest, true);
    while (copies < wanted && parts_.world.clock().now() < end) {
      const auto slept = co_await parts_.world.clock().sleep_for(kLook);
      CHECK(slept.has_value());
      copies = copies_of(parts_, model.manifest, true);
    }
    if (copies < wanted) {
      parts_.complain(fmt::format("{} has {} copies of {}", key, copies, wanted));
    }
    parts_.report.counts["models that have their copies"]++;
  }
}

}  // namespace om::sim
