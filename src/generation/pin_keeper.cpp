#include "generation/pin_keeper.h"

#include <algorithm>

#include "base/log.h"
#include "generation/model_access.h"

namespace om::generation {
namespace {

// It may have to wait for its files, and for memory until busy models have made room. How long the
// load itself takes is no matter: it ends by itself when it makes no progress.
constexpr std::chrono::minutes kRoomMax{10};

}  // namespace

PinKeeper::PinKeeper(io::World& world, store::Store& store, scheduler::LocalScheduler& local,
                     cluster::PinTable& pins, Options options)
    : world_(world),
      store_(store),
      local_(local),
      pins_(pins),
      options_(options),
      changed_(world.clock),
      tasks_(world.executor, world.clock) {
  const auto notice = [this] {
    stale_ = true;
    changed_.notify_all();
  };
  pins_.on_change(notice);
  local_.on_unpin(notice);
}

void PinKeeper::start() { tasks_.spawn(run()); }

io::Task<void> PinKeeper::stop() {
  local_.on_unpin(nullptr);
  co_await tasks_.stop();
}

const Error* PinKeeper::error(const std::string& model) const {
  const auto found = kept_.find(model);
  return found != kept_.end() && found->second.error ? &*found->second.error : nullptr;
}

io::Task<void> PinKeeper::run() {
  const io::CancelToken token = tasks_.token();
  while (!token.cancelled()) {
    stale_ = false;
    look();
    if (stale_) continue;
    // Where nothing is pinned there is nothing to look after.
    const io::TimePoint until = kept_.empty() ? io::kNever : world_.clock.now() + kLookInterval;
    const auto woken = co_await changed_.wait({until, token});
    if (!woken && woken.error().code == Errc::cancelled) break;
  }
}

void PinKeeper::look() {
  const std::vector<std::string> wanted = pins_.own();
  for (auto it = kept_.begin(); it != kept_.end();) {
    if (std::ranges::find(wanted, it->first) != wanted.end()) {
      ++it;
      continue;
    }
    const Digest key = it->second.key;
    it->second.gives_up.cancel();
    it = kept_.erase(it);
    release(key);
  }
  for (const std::string& model : wanted) keep(model, kept_[model]);
}

void PinKeeper::release(const Digest& key) {
  const bool is_kept =
      std::ranges::any_of(kept_, [&](const auto& item) { return item.second.key == key; });
  if (!is_kept) local_.pin(key, false);
}

void PinKeeper::keep(const std::string& model, Kept& kept) {
  if (kept.work > 0) {
    const bool is_waiting = !local_.is_loaded(kept.key) && world_.clock.now() >= kept.wait_until;
    if (is_waiting) kept.gives_up.cancel();
    return;
  }
  const auto found = find_model(store_, model, Purpose::generate);
  if (!found) return failed(model, kept, found.error());
  const Digest key = (*found)->manifest.runner_key();
  if (key != kept.key) {
    const Digest before = std::exchange(kept.key, key);
    kept.held = false;
    kept.not_before = {};
    release(before);
  }
  if (!kept.held && local_.pin(key, true)) kept.held = true;
  const bool is_loaded = local_.is_loaded(key);
  if (kept.held && !local_.is_pinned(key)) {
    kept.work = ++works_;
    tasks_.spawn(unpin(model, kept.work));
  } else if (is_loaded) {
    kept.failures = 0;
    kept.error.reset();
  } else if (world_.clock.now() >= kept.not_before) {
    auto options = merge_options(**found, {}, options_.default_context);
    if (!options) return failed(model, kept, options.error());
    kept.wait_until = world_.clock.now() + kRoomMax;
    kept.gives_up = {};
    kept.work = ++works_;
    tasks_.spawn(
        load(model, kept.work, make_target(*found, options->runner), kept.gives_up.token()));
  }
}

PinKeeper::Kept* PinKeeper::end(const std::string& model, uint64_t work) {
  const auto known = kept_.find(model);
  if (known == kept_.end() || known->second.work != work) return nullptr;
  known->second.work = 0;
  return &known->second;
}

io::Task<void> PinKeeper::load(std::string model, uint64_t work, scheduler::Target target,
                               io::CancelToken gives_up) {
  const Digest key = target.key();
  scheduler::AcquireOptions options;
  options.priority = scheduler::Priority::batch;
  scheduler::Scheduler& loader = options_.loader ? *options_.loader : local_;
  const io::CancelEither cancel(tasks_.token(), gives_up);
  const io::Call call{io::kNever, cancel.token()};
  const auto lease = co_await loader.acquire(std::move(target), std::move(options), call);
  if (tasks_.token().cancelled()) co_return;
  Kept* kept = end(model, work);
  if (!kept) co_return;
  if (!lease && gives_up.cancelled()) {
    failed(model, *kept, {Errc::deadline_exceeded, "there was no room for it in time"});
  } else if (!lease) {
    failed(model, *kept, lease.error());
  } else if (kept->key == key && local_.pin(key, true)) {  // While the lease keeps it loaded.
    kept->held = true;
    log_info("pinned model is in memory", field("model", model));
  }
}

io::Task<void> PinKeeper::unpin(std::string model, uint64_t work) {
  const io::Call call = world_.clock.call_within(metadata::kCallMax, tasks_.token());
  std::vector<cluster::Pin> pins{{pins_.self(), model}};
  const auto done = co_await pins_.remove(std::move(pins), call);
  if (done) {
    log_info("unloaded on request and pinned no more", field("model", model));
  } else {
    log_warn("cannot unpin", field("model", model), field("error", done.error()));
  }
  end(model, work);
}

void PinKeeper::failed(const std::string& model, Kept& kept, Error error) {
  const io::TimePoint now = world_.clock.now();
  if (now < kept.not_before) return;
  const int doublings = std::min(kept.failures++, 8);
  const io::Duration pause = std::min<io::Duration>(kRetryFirst * (1 << doublings), kRetryMax);
  kept.not_before = now + pause;
  log_warn("pinned model is not loaded", field("model", model), field("error", error),
           field("retry_in", pause));
  kept.error = std::move(error);
}

}  // namespace om::generation
