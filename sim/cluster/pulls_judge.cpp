// What must hold of the models that were pulled, and of what was drawn from the registry.
#include <algorithm>

#include "base/log.h"
#include "sim/cluster/copies.h"
#include "sim/cluster/pulls.h"
#include "sim/models_for_test.h"
#include "transfer/chunk_list.h"

namespace om::sim {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

constexpr auto kLook = std::chrono::milliseconds(500);
constexpr auto kRestMax = minutes(1);
constexpr std::string_view kPullKeys = "/pulls/";

// What one answer of the registry may cost in vain where it breaks: the block it was in, and what
// was on its way or unread.
constexpr uint64_t kAnswerWaste = 2 << 20;
// What a death of the node, or a disk that fails, costs: see transfer/README.md.
constexpr uint64_t kDeathWaste = 16 << 20;

}  // namespace

bool Pulls::is_catalogued(const Model& model) const {
  return sim::is_catalogued(parts_.facts, model_name(model.number));
}

// A pull that told "success" is in the catalogue, unless somebody deleted the model afterwards.
void Pulls::judge_catalogue() {
  for (const auto& model : models_) {
    const auto expected = model->presence.expected();
    if (!expected) continue;
    parts_.report.counts["pulls: catalogue judged"]++;
    if (is_catalogued(*model) == *expected) continue;
    parts_.complain(fmt::format("m{}, which was {}, is {}", model->number,
                                *expected ? "pulled" : "deleted",
                                *expected ? "not in the catalogue" : "still there"));
  }
}

io::Task<void> Pulls::pull_again() {
  healed_ = true;
  judge_catalogue();
  for (size_t i = 0; i < scenario_.sizes.size(); i++) {
    Model& model = *models_[i];
    // One that was pulled by a node whose disk failed before there was another copy is lost.
    const bool disks_failed =
        parts_.report.counts["wipe"] > 0 || parts_.report.counts["bit_rot"] > 0;
    const bool lost = disks_failed && copies_of(parts_, model.manifest, true) == 0;
    if (is_catalogued(model) && !lost) continue;
    co_await pull_healed(model);
  }
  Model& fresh = add_model(scenario_.sizes[random_.below(scenario_.sizes.size())],
                           kPulledFirst + static_cast<int>(models_.size()));
  fresh.is_fresh = true;
  co_await pull_healed(fresh);
}

io::Task<void> Pulls::pull_healed(Model& model) {
  model.presence.is_there.reset();
  co_await pull(model, false);
  parts_.report.counts["pulls: after healing"]++;
  if (!model.presence.is_there || !is_catalogued(model)) {
    parts_.complain(fmt::format("m{} cannot be pulled after healing", model.number));
  }
}

io::Task<void> Pulls::ask_all() {
  std::vector<io::Endpoint> gateways;
  for (const auto& node : parts_.nodes) gateways.push_back(node->api());
  SimClient client(parts_.world, parts_.scenario.base, -2, parts_.seen, gateways);
  for (const auto& model : models_) {
    for (size_t gateway = 0; gateway < gateways.size(); gateway++) {
      co_await client.ask(model->number, gateway);
      const Exchange& last = parts_.seen.back();
      if (last.is_done()) continue;
      parts_.complain(fmt::format("m{} is not answered by {} after it was pulled: status {} {}{}",
                                  model->number, parts_.nodes[gateway]->name(), last.status,
                                  last.error, last.broken));
    }
  }
}

io::Task<void> Pulls::judge_at_rest() {
  const io::TimePoint end = parts_.world.clock().now() + kRestMax;
  std::vector<std::string> left;
  while (true) {
    left.clear();
    for (const metadata::Entry& entry : parts_.facts.all().entries) {
      if (entry.key.starts_with(kPullKeys)) left.push_back(entry.key);
    }
    if (left.empty() || parts_.world.clock().now() >= end) break;
    co_await sleep(kLook);
  }
  for (const std::string& key : left) parts_.complain("left behind for ever: " + key);
  judge_bytes();
}

std::map<std::string, Pulls::Blob> Pulls::blobs() const {
  std::map<std::string, Blob> blobs;
  for (const auto& model : models_) {
    for (const model::Layer& layer : model->manifest.blobs()) {
      const auto [found, is_new] = blobs.try_emplace(layer.digest.str());
      Blob& blob = found->second;
      if (is_new) blob.once = true;
      blob.size = layer.size;
      // Without ranges one chunk cannot be had alone.
      const bool in_parts = scenario_.ranges || layer.size <= transfer::kChunkBytes;
      blob.once = blob.once && in_parts && (scenario_.calm || model->is_fresh);
      blob.shared = layer.media_type.ends_with("template");
      blob.deletions += model->deletions;
    }
  }
  return blobs;
}

// What it keeps it does not draw again, whoever asks for it. Again comes all of it for each disk
// that was lost and each time that the model was deleted; where the wall clock jumped, also when it
// starts (blobs that no manifest names are collected when they look old); a registry without ranges
// gives all of it each time.
uint64_t Pulls::most(const std::string& address, const Blob& blob, int requests) const {
  const auto node = std::ranges::find_if(
      parts_.nodes, [&](const auto& node) { return node->api().host == address; });
  const auto number = static_cast<int>(node - parts_.nodes.begin());
  uint64_t wholes = 1 + static_cast<uint64_t>(blob.deletions), deaths = 0;
  for (const Fault& fault : parts_.scenario.faults) {
    if (fault.node != number) continue;
    if (fault.kind == FaultKind::wipe || fault.kind == FaultKind::bit_rot) wholes++;
    if (fault.kind == FaultKind::clock_jump) wholes += (*node)->lives();
    const bool dies = fault.kind == FaultKind::kill || fault.kind == FaultKind::power_loss ||
                      fault.kind == FaultKind::stop || fault.kind == FaultKind::full_disk;
    if (dies) deaths++;
  }
  const uint64_t waste = scenario_.ranges ? std::min(kAnswerWaste, blob.size) : blob.size;
  return wholes * blob.size + deaths * std::min(kDeathWaste, blob.size) +
         static_cast<uint64_t>(requests) * waste;
}

void Pulls::judge_bytes() {
  for (const auto& [digest, blob] : blobs()) {
    uint64_t drawn = 0;
    int wrong = 0;
    for (const auto& [who, what] : registry_.drawn) {
      if (who.second != digest) continue;
      drawn += what.bytes;
      wrong += what.wrong;
    }
    parts_.report.counts["registry: KiB drawn again"] +=
        static_cast<int>((drawn - std::min(drawn, blob.size)) >> 10);
    if (blob.once) {
      parts_.report.counts["pulls: blobs drawn once"]++;
      const uint64_t wanted = blob.shared ? 0 : blob.size;
      if (drawn == wanted) continue;
      parts_.complain(fmt::format("{} of {} bytes was drawn {:.2f} times although nothing broke",
                                  digest, blob.size,
                                  static_cast<double>(drawn) / static_cast<double>(blob.size)));
    }
    // What turns out wrong only as a whole is thrown away as a whole, wherever it went.
    if (blob.once || wrong > 0) continue;
    parts_.report.counts["pulls: blobs drawn within bounds"]++;
    for (const auto& [who, what] : registry_.drawn) {
      if (who.second != digest) continue;
      const uint64_t most_of_it = most(who.first, blob, what.requests);
      if (what.bytes <= most_of_it) continue;
      parts_.complain(
          fmt::format("{} drew {} bytes of {}, which has {}, with {} answers: more than {}",
                      who.first, what.bytes, digest, blob.size, what.requests, most_of_it));
    }
  }
}

}  // namespace om::sim
