#include "metadata/shared_watches.h"

#include <algorithm>
#include <deque>

namespace om::metadata {
namespace {

constexpr size_t kAnswerBytesMax = 1 << 20;  // Of one next(), beyond which it ends with a revision.

size_t bytes_of(const Event& event) { return event.entry.key.size() + event.entry.value.size(); }

}  // namespace

// The last changes of a prefix: all from `begin` on, in the order of their revisions.
struct SharedWatches::Feed {
  Feed(std::string the_prefix, io::Clock& clock) : prefix(std::move(the_prefix)), changed(clock) {}

  void add(std::vector<Event> more, const SharedWatchLimits& limits);
  std::vector<Event> since(Revision from) const;

  std::string prefix;
  Revision begin = 0;
  Revision begin_before = 0;  // 0, or the engine has not yet told anything since it changed.
  std::deque<Event> events;
  size_t bytes = 0, watches = 0;
  std::optional<Error> error;  // The engine's watch has ended.
  io::CancelSource following;
  io::Event changed;
};

void SharedWatches::Feed::add(std::vector<Event> more, const SharedWatchLimits& limits) {
  for (Event& event : more) {
    bytes += bytes_of(event);
    events.push_back(std::move(event));
  }
  const auto too_much = [&] {
    return events.size() > limits.events_max || bytes > limits.bytes_max;
  };
  const auto newest = [this] {
    return events.front().entry.modified == events.back().entry.modified;
  };
  while (!events.empty() && too_much() && !newest()) {
    begin = events.front().entry.modified + 1;
    while (events.front().entry.modified < begin) {
      bytes -= bytes_of(events.front());
      events.pop_front();
    }
  }
  changed.notify_all();
}

std::vector<Event> SharedWatches::Feed::since(Revision from) const {
  std::vector<Event> result;
  size_t taken = 0;
  auto at = std::ranges::lower_bound(events, from, {},
                                     [](const Event& event) { return event.entry.modified; });
  for (; at != events.end(); ++at) {
    if (taken > kAnswerBytesMax && at->entry.modified != result.back().entry.modified) break;
    taken += bytes_of(*at);
    result.push_back(*at);
  }
  return result;
}

class SharedWatches::SharedWatch final : public Watch {
 public:
  SharedWatch(SharedWatches& owner, FeedPtr feed, Revision from)
      : owner_(owner), feed_(std::move(feed)), from_(from) {
    feed_->watches++;
  }
  ~SharedWatch() override {
    if (--feed_->watches == 0) owner_.end(*feed_);
  }

  io::Task<Result<std::vector<Event>>> next(io::Call call) override {
    while (true) {
      if (from_ < feed_->begin) {
        co_return fail(Errc::corrupt, "the changes since revision {} are forgotten", from_);
      }
      auto events = feed_->since(from_);
      if (!events.empty()) {
        from_ = events.back().entry.modified + 1;
        co_return events;
      }
      if (feed_->error) co_return fail(*feed_->error);
      CO_TRY_VOID(co_await feed_->changed.wait(call));
    }
  }

 private:
  SharedWatches& owner_;
  FeedPtr feed_;
  Revision from_;
};

SharedWatches::SharedWatches(io::World& world, Metadata& metadata, SharedWatchLimits limits)
    : world_(world), metadata_(metadata), limits_(limits), tasks_(world.executor, world.clock) {}

SharedWatches::~SharedWatches() = default;

std::unique_ptr<Watch> SharedWatches::watch(std::string prefix, Revision from) {
  // What is new is known to the engine alone.
  if (from <= 0 || tasks_.token().cancelled()) return metadata_.watch(std::move(prefix), from);
  FeedPtr& known = feeds_[prefix];
  const bool is_new = !known;
  if (is_new) known = std::make_shared<Feed>(prefix, world_.clock);
  const FeedPtr feed = known;  // It may end, and leave the map, as soon as it begins.
  if (is_new) {
    begin(feed, from);
  } else if (from < feed->begin) {
    // All that is told again the others have read or skip.
    if (feed->begin_before == 0) feed->begin_before = feed->begin;
    begin(feed, from);
  }
  return std::make_unique<SharedWatch>(*this, feed, from);
}

void SharedWatches::begin(const FeedPtr& feed, Revision from) {
  std::exchange(feed->following, {}).cancel();
  feed->begin = from;
  feed->events.clear();
  feed->bytes = 0;
  tasks_.spawn(follow(feed, feed->following.token()));
}

io::Task<void> SharedWatches::follow(FeedPtr feed, io::CancelToken token) {
  io::CancelSource stopped;
  const io::OnCancel on_replaced(token, [&stopped] { stopped.cancel(); });
  const io::OnCancel on_stop(tasks_.token(), [&stopped] { stopped.cancel(); });
  auto watch = metadata_.watch(feed->prefix, feed->begin);
  while (!stopped.cancelled()) {
    auto events = co_await watch->next({io::kNever, stopped.token()});
    if (token.cancelled()) co_return;
    if (events) {
      feed->begin_before = 0;
      feed->add(std::move(*events), limits_);
    } else if (fall_back(*feed, events.error())) {
      watch = metadata_.watch(feed->prefix, feed->begin);
    } else {
      co_return;
    }
  }
}

bool SharedWatches::fall_back(Feed& feed, const Error& error) {
  if (error.code == Errc::corrupt && feed.begin_before > 0) {
    feed.begin = std::exchange(feed.begin_before, 0);
  } else {
    feed.error = tasks_.token().cancelled() ? Error{Errc::unavailable, "closed"} : error;
    end(feed);
  }
  feed.changed.notify_all();
  return !feed.error;
}

void SharedWatches::end(Feed& feed) {
  feed.following.cancel();
  const auto found = feeds_.find(feed.prefix);
  if (found != feeds_.end() && found->second.get() == &feed) feeds_.erase(found);
}

io::Task<void> SharedWatches::stop() { co_await tasks_.stop(); }

}  // namespace om::metadata
