#include "transfer/cluster_fetch.h"

#include <algorithm>

#include "base/log.h"
#include "transfer/blob_holders.h"
#include "transfer/download.h"

namespace om::transfer {
namespace {

constexpr std::chrono::milliseconds kLookEvery{500};
constexpr std::chrono::milliseconds kOtherProcessPoll{500};
constexpr std::chrono::seconds kLookMax{3};
// Holders that bring nothing for so long do not keep us from the registry.
constexpr std::chrono::seconds kHolderPatience{5};
constexpr int kAttemptsMax = 6;

// Of a registry: asked again it would say the same.
bool is_final(const Error& refusal) {
  switch (refusal.code) {
    case Errc::not_found:
    case Errc::unauthenticated:
    case Errc::forbidden:
    case Errc::invalid_argument:
    case Errc::corrupt:  // It has another blob than the manifest says.
      return true;
    default:
      return false;
  }
}

uint64_t seed_of(std::string_view node, const Digest& digest) {
  return std::hash<std::string_view>()(node) ^ std::hash<Digest>()(digest);
}

}  // namespace

ClusterFetch::ClusterFetch(FetchParts parts, std::shared_ptr<Registry> registry, Digest digest,
                           uint64_t size)
    : BlobDownload(parts.world, digest, size),
      parts_(parts),
      registry_(std::move(registry)),
      lease_(parts.world, parts.links.metadata, digest, parts.links.node),
      tasks_(parts.world.executor, parts.world.clock) {}

uint64_t ClusterFetch::received() const {
  if (in_order_) return in_order_->completed();
  return blob_ ? blob_->bytes_present() + (fetch_ ? fetch_->in_flight() : 0) : 0;
}

// As Download::open().
io::Task<Result<void>> ClusterFetch::open() {
  blob_.reset();
  while (true) {
    const auto present = parts_.store.blob_size(digest());
    if (present && *present == size()) co_return Result<void>{};
    auto opened = co_await IncomingBlob::open(parts_.world, parts_.store, digest(), size());
    if (opened) {
      blob_ = std::move(*opened);
      parts_.incoming.add(blob_);
      co_return Result<void>{};
    }
    if (opened.error().code != Errc::overloaded) co_return fail(opened.error());
    CO_TRY_VOID(
        co_await parts_.world.clock.sleep_for(kOtherProcessPoll, {io::kNever, cancel_.token()}));
  }
}

io::Task<Result<void>> ClusterFetch::receive() {
  Result<void> done;
  for (int i = 0; i < kAttemptsMax; i++) {
    done = co_await attempt();
    if (done || is_refused_ || done.error().code != Errc::corrupt || !trust_fewer()) break;
    log_warn("blob fetched again", field("blob", digest()), field("why", done.error()));
  }
  if (done && lease_.is_origin()) {
    co_await lease_.let_run_out();
  } else {
    co_await lease_.stop();
  }
  co_await tasks_.stop();
  co_return done;
}

io::Task<Result<void>> ClusterFetch::attempt() {
  CO_TRY_VOID(co_await open());
  if (!blob_) co_return Result<void>{};
  fetch_ = std::make_unique<PeerFetch>(parts_.world, blob_, parts_.bandwidth,
                                       seed_of(parts_.links.node, digest()));
  stop_looking_ = io::CancelSource();
  tasks_.spawn(look_for_sources());
  const io::TimePoint begun = parts_.world.clock.now();
  auto done = co_await fetch_->run({io::kNever, cancel_.token()});
  stop_looking_.cancel();
  co_await tasks_.wait();
  registry_bytes_ += fetch_->registry_bytes();
  const uint64_t copied = fetch_->registry_bytes() == 0 ? fetch_->node_bytes() : 0;
  fetch_.reset();
  if (done) {
    parts_.bandwidth.note_blob(copied, parts_.world.clock.now() - begun);
    co_return co_await blob_->finish();
  }
  const auto closed = co_await blob_->close();  // What came is worth keeping.
  if (!closed) co_return closed;
  if (done.error().code == Errc::unsupported) co_return co_await download_in_order();
  if (lease_error_ && done.error().code == Errc::unavailable) {
    co_return fail(annotate(*lease_error_, "no node has the blob, and the registry is not asked"));
  }
  co_return done;
}

// A registry without ranges gives the blob from its first byte or not at all.
io::Task<Result<void>> ClusterFetch::download_in_order() {
  in_order_ = std::make_shared<Download>(registry_, digest(), size());
  const io::OnCancel on_cancel(cancel_.token(), [this] { in_order_->cancel(); });
  co_await in_order_->run();
  co_return in_order_->result();
}

bool ClusterFetch::may_use(std::string_view name) const {
  return alone_ ? *alone_ == name : !distrusted_.contains(name);
}

bool ClusterFetch::trust_fewer() {
  const bool was_last = alone_ && alone_->empty();
  if (was_last || used_.empty()) return false;  // The registry's own bytes were wrong.
  if (alone_) distrusted_.insert(*alone_);
  if (!alone_ && used_.size() == 1) distrusted_.insert(*used_.begin());
  alone_.reset();
  for (const std::string& name : used_) {
    if (distrusted_.contains(name)) continue;
    alone_ = name;
    return true;
  }
  for (const cluster::NodeInfo& node : holders_of(parts_.links, digest())) {
    if (distrusted_.contains(node.name)) continue;
    alone_ = node.name;
    return true;
  }
  alone_ = "";
  return registry_ != nullptr;
}

io::Task<void> ClusterFetch::look_for_sources() {
  const io::CancelToken stop = stop_looking_.token();
  while (!stop.cancelled()) {
    co_await look_once();
    (void)co_await parts_.world.clock.sleep_for(kLookEvery, {io::kNever, stop});
  }
}

io::Task<void> ClusterFetch::look_once() {
  const bool somebody_has_it = co_await add_nodes();
  if (!stop_looking_.cancelled()) co_await consider_registry(somebody_has_it);
}

bool ClusterFetch::somebody_may_have_it() const {
  if (fetch_->source_count() > 0) return true;
  const auto holders = holders_of(parts_.links, digest());
  return std::ranges::any_of(holders,
                             [this](const cluster::NodeInfo& node) { return may_use(node.name); });
}

io::Task<bool> ClusterFetch::add_nodes() {
  const cluster::View view = parts_.links.view();
  bool somebody_has_it = false;
  for (const cluster::NodeInfo& node : holders_of(parts_.links, digest())) {
    add_node(node);
    somebody_has_it = somebody_has_it || fetch_->has_source(node.name);
  }
  const io::Call call = parts_.world.clock.call_within(kLookMax, stop_looking_.token());
  // Small blobs come whole from a holder before anybody could fetch parts of them from us.
  if (somebody_has_it && chunks_of(size()) == 1) co_return true;
  const auto announced = co_await lease_.announce(call);
  Result<std::vector<std::string>> receivers = std::vector<std::string>{};
  if (announced) receivers = co_await lease_.others(call);
  if (!announced || !receivers || stop_looking_.cancelled()) co_return somebody_has_it;
  for (const std::string& name : *receivers) {
    const cluster::NodeInfo* node = view.find(name);
    if (node != nullptr && node->answers()) add_node(*node);
  }
  co_return somebody_has_it;
}

void ClusterFetch::add_node(const cluster::NodeInfo& node) {
  if (!may_use(node.name) || fetch_->has_source(node.name)) return;
  PeerAddress address{node.name, node.peer, parts_.links.tls ? parts_.links.tls(node) : nullptr};
  const bool added = fetch_->add_source(
      peer_source(parts_.client, parts_.world.clock, std::move(address), digest()));
  if (added) used_.insert(node.name);
}

io::Task<void> ClusterFetch::consider_registry(bool somebody_has_it) {
  if (!registry_ || (alone_ && !alone_->empty())) co_return;
  const std::string& host = registry_->name().host;
  if (fetch_->has_source(host)) {
    // Another node may have taken over.
    if (!lease_.is_origin()) fetch_->remove_source(host);
    co_return;
  }
  const auto silence = parts_.world.clock.now() - fetch_->last_progress();
  if (somebody_has_it && silence < kHolderPatience) co_return;
  const io::Call call = parts_.world.clock.call_within(kLookMax, stop_looking_.token());
  // It failed here: until it is tried again another node may do better.
  if (fetch_->was_dropped(host) || fetch_->rests(host)) {
    const std::optional<Error> refusal = fetch_->registry_error();
    if (refusal && is_final(*refusal) && !somebody_may_have_it()) {
      is_refused_ = true;
      fetch_->give_up(*refusal);
    }
    co_return co_await lease_.yield_origin(call);
  }
  const auto allowed = co_await lease_.try_origin(call);
  if (stop_looking_.cancelled()) co_return;  // That it was not answered then says nothing.
  lease_error_.reset();
  if (!allowed) lease_error_ = allowed.error();
  if (!allowed || !*allowed) co_return;
  (void)fetch_->add_source(registry_source(registry_, digest(), size()));  // Or it is there.
}

}  // namespace om::transfer
