#include "app/cluster_parts.h"

#include <algorithm>

#include "base/log.h"

namespace om::app {
namespace {

constexpr std::chrono::seconds kBlobsAgeMax{1};
constexpr std::chrono::seconds kPeerConnectMax{2};
constexpr std::chrono::seconds kPeerWriteIdleMax{5};

http::ClientLimits peer_client_limits() {
  http::ClientLimits limits;
  limits.connect_max = kPeerConnectMax;
  return limits;
}

http::ServerLimits peer_server_limits() {
  http::ServerLimits limits;
  limits.write_idle_max = kPeerWriteIdleMax;
  limits.body_bytes_max = 512ull << 20;
  return limits;
}

}  // namespace

ClusterParts::ClusterParts(io::World& world, store::Store& store, scheduler::LocalScheduler& local,
                           std::string name)
    : world_(world), store_(store), local_(local), name_(std::move(name)) {
  client_ = std::make_unique<http::Client>(world_, peer_client_limits());
  reports_ = std::make_unique<cluster::Reports>(world_, *client_, [this] { return self(); });
  scheduler_ =
      std::make_unique<scheduler::ClusterScheduler>(world_, *client_, local_, *reports_, name_);
  peer_server_ = std::make_unique<peer::PeerServer>(
      peer::Dependencies{world_, store_, local_, [this] { return self(); }});
  http_server_ =
      std::make_unique<http::Server>(world_, peer_server_limits(), peer_server_->handler());
  reports_->on_lost([this](const std::string& node) { peer_server_->forget(node); });
}

ClusterParts::~ClusterParts() = default;

Result<io::Endpoint> ClusterParts::listen(io::Endpoint at, std::shared_ptr<const io::Tls> tls) {
  TRY(io::Endpoint bound, http_server_->listen(std::move(at), std::move(tls)));
  listening_ = true;
  peer_server_->start();
  log_info("listening for other nodes", field("address", bound.str()), field("node", name_));
  return bound;
}

// Every blob that a manifest names is whole: the store shows no other manifests.
void ClusterParts::refresh_blobs() {
  const io::TimePoint now = world_.clock.now();
  if (blobs_ && now - blobs_at_ < kBlobsAgeMax) return;
  blobs_at_ = now;
  auto manifests = store_.list();
  if (!manifests) return;  // The disk is in trouble: what was told last stands.
  std::vector<Digest> blobs;
  for (const store::StoredManifest& stored : *manifests) {
    for (const model::Layer& layer : stored.manifest.layers) blobs.push_back(layer.digest);
  }
  std::ranges::sort(blobs);
  blobs.erase(std::ranges::unique(blobs).begin(), blobs.end());
  if (!blobs_ || *blobs_ != blobs) {
    blobs_ = std::make_shared<const std::vector<Digest>>(std::move(blobs));
  }
  // In whole GiB: less is no news.
  if (const auto space = world_.files.space(store_.root()))
    disk_free_ = space->available >> 30 << 30;
}

cluster::NodeInfo ClusterParts::self() {
  refresh_blobs();
  cluster::NodeInfo node = local_.node_info(name_);
  node.state = draining_ ? cluster::NodeState::draining : cluster::NodeState::ready;
  node.blobs = blobs_;
  node.disk_free = disk_free_;
  return node;
}

io::Task<void> ClusterParts::stop() {
  co_await reports_->stop();
  co_await peer_server_->stop();
  if (listening_) co_await http_server_->stop(std::chrono::seconds(2));
  client_->close_idle();
}

}  // namespace om::app
