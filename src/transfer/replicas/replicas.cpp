#include "transfer/replicas/replicas.h"

#include <algorithm>

#include "base/log.h"
#include "base/version.h"
#include "transfer/replicas/health.h"
#include "transfer/replicas/metrics.h"

namespace om::transfer {
namespace {

constexpr std::chrono::seconds kAskMax{10};
constexpr std::chrono::seconds kWatchAgain{1};
constexpr std::chrono::milliseconds kUnseenEvery{500};
// A node that came back has processed the removals it missed within this time.
constexpr std::chrono::minutes kTogetherMin{10};
// If there are more, old ones go, whichever node is away.
constexpr size_t kTombstonesMax = 10'000;

std::vector<std::pair<Digest, uint64_t>> sized_blobs_of(const model::Manifest& manifest) {
  std::vector<std::pair<Digest, uint64_t>> blobs;
  for (const model::Layer& blob : manifest.blobs()) blobs.emplace_back(blob.digest, blob.size);
  std::ranges::sort(blobs);
  return blobs;
}

}  // namespace

Replicas::Replicas(ReplicaParts parts, ReplicaOptions options)
    : parts_(parts),
      options_(std::move(options)),
      world_(parts.context.world),
      apart_at_(world_.clock.now()),
      changed_(world_.clock),
      workers_(world_, options_.running_max, [this] { look_now(); }),
      tasks_(world_.executor, world_.clock) {}

void Replicas::start() {
  tasks_.spawn(run());
  tasks_.spawn(watch(&Catalogue::watch_models));
  tasks_.spawn(watch(&Catalogue::watch_policies));
}

io::Task<void> Replicas::stop() {
  co_await tasks_.stop();  // A look that is under way may still give work.
  co_await workers_.stop();
  count_health({});  // It may be for good: this node has left the cluster.
}

io::Task<void> Replicas::run() {
  const io::CancelToken cancel = tasks_.token();
  while (!cancel.cancelled()) {
    is_stale_ = false;
    if (const auto done = co_await reconcile(); !done && !cancel.cancelled()) {
      log_debug("replicas are left as they are", field("error", done.error()));
    }
    if (is_stale_) continue;
    // Woken by a change, by finished work, or to look at the View again.
    (void)co_await changed_.wait({world_.clock.now() + time_to_next_look(), cancel});
  }
}

io::Task<void> Replicas::watch(OpenWatch open) {
  const io::CancelToken cancel = tasks_.token();
  while (!cancel.cancelled()) {
    const auto watch = (parts_.catalogue.*open)();
    while (const auto events = co_await watch->next({io::kNever, cancel})) look_now();
    (void)co_await world_.clock.sleep_for(kWatchAgain, {io::kNever, cancel});
  }
}

io::Duration Replicas::time_to_next_look() const {
  return std::ranges::any_of(health_, &ModelHealth::is_awaited) ? kUnseenEvery
                                                                : options_.reconcile_every;
}

void Replicas::note_new_models() {
  std::map<std::string, std::pair<Digest, io::TimePoint>> seen;
  for (const auto& [key, model] : state_->models) {
    const auto before = first_seen_.find(key);
    const bool is_known = before != first_seen_.end() && before->second.first == model.digest;
    seen[key] = is_known ? before->second : std::pair(model.digest, world_.clock.now());
  }
  first_seen_ = std::move(seen);
}

void Replicas::note_draining_nodes() {
  const cluster::View view = parts_.links.view();
  std::map<std::string, io::TimePoint, std::less<>> draining;
  for (const cluster::NodeInfo& node : view.nodes()) {
    if (node.state != cluster::NodeState::draining) continue;
    const auto before = draining_since_.find(node.name);
    draining[node.name] = before == draining_since_.end() ? world_.clock.now() : before->second;
  }
  draining_since_ = std::move(draining);
}

std::optional<io::Duration> Replicas::tombstone_age() {
  const cluster::View view = parts_.links.view();
  const io::TimePoint now = world_.clock.now();
  const bool all_are_there = std::ranges::all_of(view.nodes(), &cluster::NodeInfo::answers);
  if (!all_are_there) apart_at_ = now;
  const bool is_kept = now - apart_at_ < kTogetherMin && state_->removed.size() <= kTombstonesMax;
  if (is_kept) return std::nullopt;
  return options_.tombstone_age;
}

ReplicaInput Replicas::look() const {
  ReplicaInput input{.models = {},
                     .view = parts_.links.view(),
                     .now = world_.clock.now(),
                     .grace = options_.grace,
                     .draining_since = draining_since_,
                     .disk_reserve = options_.disk_reserve};
  for (const auto& [key, model] : state_->models) {
    const auto popularity = state_->popularity.find(key);
    const auto seen = first_seen_.find(key);
    const bool is_new =
        seen == first_seen_.end() || input.now - seen->second.second < options_.unseen_grace;
    input.models.push_back(
        {.key = key,
         .runner_key = model.manifest.runner_key(),
         .blobs = sized_blobs_of(model.manifest),
         .policy = state_->policy_of(key),
         .popularity = popularity == state_->popularity.end() ? 0 : popularity->second,
         .is_new = is_new,
         .is_policy_known = state_->knows_policy_of(key)});
  }
  return input;
}

io::Task<Result<void>> Replicas::reconcile() {
  CO_TRY(auto state, co_await parts_.catalogue.load(
                         tombstone_age(), world_.clock.call_within(kAskMax, tasks_.token())));
  state_ = std::move(state);
  note_new_models();
  note_draining_nodes();
  end_stale_copies();
  if (options_.newcomer) {
    CO_TRY_VOID(co_await keep_own_models());
    options_.newcomer = false;
    if (options_.settled) options_.settled();
  }
  const ReplicaInput input = look();
  const ReplicaPlan plan = co_await make_plan(input);
  for (const ModelHealth& model : newly_troubled(health_, plan.health)) {
    log_warn("model lacks copies", field("model", model.model), field("state", state_of(model)),
             field("copies", model.copies.size()), field("unreachable", model.unreachable.size()),
             field("wanted", model.wanted));
  }
  count_health(plan.health);
  health_ = plan.health;
  co_await follow_catalogue(plan);
  co_await give_work(plan);
  co_await tell_popularity(input, plan);
  co_return Result<void>{};
}

io::Task<ReplicaPlan> Replicas::make_plan(const ReplicaInput& input) const {
  auto plan = [&input] { return plan_replicas(input); };
  co_return co_await world_.workers.run(std::move(plan));
}

io::Task<std::vector<ModelHealth>> Replicas::measure_health() const {
  const ReplicaInput input = look();
  ReplicaPlan plan = co_await make_plan(input);
  co_return std::move(plan.health);
}

io::Task<void> Replicas::tell_popularity(const ReplicaInput& input, const ReplicaPlan& plan) {
  const auto state = state_;
  for (const PopularModel& model : popularity_.look(input, plan.speakers, parts_.links.node)) {
    const auto known = state->models.find(model.key);
    if (known == state->models.end()) continue;
    const auto told =
        co_await parts_.catalogue.set_popularity(known->second.name, parts_.links.node, model.extra,
                                                 world_.clock.call_within(kAskMax, tasks_.token()));
    // It is told again, or ends by itself.
    if (!told) log_debug("popularity is not told", field("error", told.error()));
  }
}

bool Replicas::is_mine(const ReplicaPlan& plan, const std::string& key,
                       ReplicaAction::Kind kind) const {
  return std::ranges::any_of(plan.actions, [&](const ReplicaAction& action) {
    return action.kind == kind && action.node == parts_.links.node && action.model == key;
  });
}

// By a worker: looks go over all models, and a disk that pauses must not hold up the io thread.
io::Task<bool> Replicas::has_blobs(model::Manifest manifest) {
  auto are_here = [&store = parts_.context.store, blobs = sized_blobs_of(manifest)] {
    return std::ranges::all_of(blobs, [&store](const auto& blob) {
      const auto size = store.blob_size(blob.first);
      return size && *size == blob.second;
    });
  };
  co_return co_await world_.workers.run(std::move(are_here));
}

io::Task<void> Replicas::follow_catalogue(const ReplicaPlan& plan) {
  const auto stored = co_await parts_.context.store.list();
  if (!stored) {
    if (said_.is_new("list: " + stored.error().what)) {
      log_warn("models cannot be listed", field("error", stored.error()));
    }
    co_return;
  }
  std::set<std::string> here;
  broken_.clear();
  for (const store::StoredManifest& manifest : *stored) {
    here.insert(Catalogue::key_of(manifest.name));
    co_await follow_one(manifest, plan);
  }
  const auto state = state_;
  for (const auto& [key, model] : state->models) {
    if (here.contains(key) || !co_await has_blobs(model.manifest)) continue;
    if (!is_mine(plan, key, ReplicaAction::Kind::remove)) co_await adopt(model, std::nullopt);
  }
  said_.end_look();
}

bool Replicas::still_means(const model::Name& name, std::optional<Digest> digest) const {
  const auto now = parts_.catalogue.find(name);
  return digest ? now && now->digest == *digest : !now && now.error().code == Errc::not_found;
}

// What was seen of the catalogue and of the disk is as old as this look, which waits for other
// models: whatever it says is compared again before anything is changed.
io::Task<void> Replicas::follow_one(store::StoredManifest stored, const ReplicaPlan& plan) {
  const std::string key = Catalogue::key_of(stored.name);
  store::Store& store = parts_.context.store;
  const auto known = state_->models.find(key);
  std::optional<Digest> agreed;
  if (known != state_->models.end()) {
    const CatalogueModel model = known->second;
    agreed = model.digest;
    if (model.digest == stored.digest) {
      if (co_await has_blobs(model.manifest)) {
        co_await renew_card(model);
        co_return;
      }
      const auto now = store.find(stored.name);
      if (now && now->digest == stored.digest) broken_.insert(key);
      co_return;
    }
    if (co_await has_blobs(model.manifest)) {
      co_await adopt(model, std::move(stored));
      co_return;
    }
    // An older meaning of the name. It stays until the new one is somewhere: not here, whatever
    // this node's last report says.
    const auto health = std::ranges::find(health_, key, &ModelHealth::model);
    const auto is_other = [this](const std::string& node) { return node != parts_.links.node; };
    const bool is_elsewhere =
        health != health_.end() && std::ranges::any_of(health->copies, is_other);
    if (!is_elsewhere || is_mine(plan, key, ReplicaAction::Kind::fetch)) co_return;
  } else if (const auto removed = state_->removed.find(key);
             removed == state_->removed.end() || removed->second != stored.digest) {
    co_await publish(std::move(stored));
    co_return;
  }
  if (!still_means(stored.name, agreed)) co_return;
  const auto gone = co_await store.remove_if(stored.name, stored.digest);
  if (gone && !*gone) co_return;
  if (!gone && !said_.is_new(fmt::format("remove {}: {}", key, gone.error().what))) co_return;
  log_info("removed as in the catalogue", field("model", stored.name.shortest()),
           field("error", gone ? Error{} : gone.error()));
}

io::Task<void> Replicas::publish(store::StoredManifest stored) {
  auto bytes = parts_.context.store.read_manifest(stored.name);
  if (!bytes) co_return;  // Gone meanwhile.
  const auto published = co_await parts_.catalogue.publish(
      stored.name, std::move(*bytes), world_.clock.call_within(kAskMax, tasks_.token()));
  if (published) {
    if (*published) log_info("published", field("model", stored.name.shortest()));
    co_return;
  }
  const int why = static_cast<int>(published.error().code);
  const std::string key = Catalogue::key_of(stored.name);
  if (!said_.is_new(fmt::format("publish {} {}: {}", key, stored.digest.str(), why))) co_return;
  log_warn("model not published: other nodes do not see it", field("model", stored.name.shortest()),
           field("error", published.error()));
}

// After an upgrade the cluster says of its models what the new version reads in their files.
io::Task<void> Replicas::renew_card(CatalogueModel model) {
  const std::string key = Catalogue::key_of(model.name);
  const auto seen = cards_seen_.find(key);
  if (seen != cards_seen_.end() && seen->second == model.digest) co_return;
  if (is_older_version(model.by, kVersion)) {
    const auto renewed = co_await parts_.catalogue.renew_card(model, tasks_.token());
    if (!renewed) co_return;  // No majority, or a disk that cannot be read now: with the next look.
  }
  cards_seen_.insert_or_assign(key, model.digest);
}

io::Task<void> Replicas::adopt(CatalogueModel model, std::optional<store::StoredManifest> before) {
  if (!still_means(model.name, model.digest)) co_return;
  std::optional<Digest> seen;
  if (before) seen = before->digest;
  const auto put = co_await parts_.context.store.replace_if(model.name, seen, model.bytes);
  if (!put) {
    const std::string key = Catalogue::key_of(model.name);
    if (said_.is_new(fmt::format("write {}: {}", key, put.error().what))) {
      log_warn("model not written", field("model", model.name.shortest()),
               field("error", put.error()));
    }
    co_return;
  }
  if (!*put || !before || !parts_.context.options.prune) co_return;
  const auto removed =
      co_await parts_.context.store.remove_unreferenced(before->manifest.digests());
  if (!removed) log_warn("unused layers are kept", field("error", removed.error()));
}

io::Task<void> Replicas::give_work(const ReplicaPlan& plan) {
  std::vector<ReplicaWorkers::Work> work;
  std::map<std::string, io::TimePoint> surplus;
  const io::TimePoint now = world_.clock.now();
  for (const ReplicaAction& action : plan.actions) {
    if (action.node != parts_.links.node) continue;
    const std::string key = action.model;
    if (action.kind == ReplicaAction::Kind::fetch) {
      const auto model = state_->models.find(key);
      if (model == state_->models.end()) continue;
      if (co_await has_blobs(model->second.manifest)) continue;  // Maybe made since the View was.
      work.push_back(copy_work(model->second, action.urgent, action.bytes));
      continue;
    }
    const auto since = surplus_since_.find(key);
    surplus[key] = since == surplus_since_.end() ? now : since->second;
    const auto known = state_->models.find(key);
    if (now - surplus[key] < options_.surplus_grace || known == state_->models.end()) continue;
    if (!parts_.context.store.find(known->second.name)) continue;  // Others share its blobs.
    work.push_back({"remove " + key, false, 0,
                    [this, key](io::CancelToken cancel) { return remove_surplus(key, cancel); }});
  }
  // Mended also where the plan wants no copy: until it is removed it must work.
  for (const std::string& key : broken_) {
    const auto model = state_->models.find(key);
    if (model == state_->models.end() || is_mine(plan, key, ReplicaAction::Kind::fetch)) continue;
    work.push_back(copy_work(model->second, true, 0));
  }
  surplus_since_ = std::move(surplus);
  workers_.set_work(std::move(work));
}

}  // namespace om::transfer
