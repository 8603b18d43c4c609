#include "metadata/etcd/etcd_watch.h"

#include "base/log.h"
#include "http/event_stream.h"
#include "metadata/etcd/request.h"
#include "metadata/metrics.h"

namespace om::metadata {
namespace {

constexpr size_t kWaitingMax = 64;  // Batches; a slow reader then slows etcd's stream.
constexpr size_t kLineBytesMax = 64 << 20;
constexpr std::chrono::milliseconds kAgainAfter{100};

// Takes one message of the stream. corrupt: history is forgotten, or is another cluster's.
Result<void> take(WatchFeed& feed, WatchReply reply) {
  if (feed.cluster != 0 && reply.header.cluster != feed.cluster) {
    return fail(Errc::corrupt, "this is another etcd cluster, with a history of its own");
  }
  feed.cluster = reply.header.cluster;
  if (reply.cancelled && reply.compacted > 0) {
    return fail(Errc::corrupt, "changes from revision {} on are forgotten", feed.next);
  }
  if (reply.cancelled) return fail(Errc::unavailable, "etcd ended the watch");
  if (reply.created) {
    if (feed.next == 0) feed.next = reply.header.revision + 1;
    return {};
  }
  if (reply.events.empty()) {  // Progress: all up to here was told.
    feed.next = std::max(feed.next, reply.header.revision + 1);
    return {};
  }
  feed.next = reply.events.back().entry.modified + 1;
  feed.waiting.push_back(std::move(reply.events));
  feed.readable.notify_all();
  return {};
}

io::Task<Result<void>> take_lines(WatchFeed& feed, const std::string& key_prefix,
                                  http::NdjsonReader& lines, std::string_view input,
                                  io::Call call) {
  std::string_view line;
  while (true) {
    auto more = lines.next(input, line);
    if (!more) {
      // More in one batch than we take: a snapshot is the shorter way.
      co_return fail(Errc::corrupt, "{}", more.error().what);
    }
    if (!*more) co_return Result<void>{};
    CO_TRY(auto reply, parse_watch(line, key_prefix));
    CO_TRY_VOID(take(feed, std::move(reply)));
    while (feed.waiting.size() >= kWaitingMax) CO_TRY_VOID(co_await feed.room.wait(call));
  }
}

// One connection, to its end.
io::Task<Error> read_stream(Gateway& gateway, const std::string& key_prefix, WatchFeed& feed,
                            io::CancelToken stop) {
  io::CancelSource ended;
  const auto end = [&ended] { ended.cancel(); };
  const io::OnCancel on_left(gateway.left(), end);
  const io::OnCancel on_unwanted(feed.wanted.token(), end);
  const io::OnCancel on_stop(stop, end);
  auto opened =
      co_await gateway.open_stream("/v3/watch", watch_body(feed.prefix, feed.next), ended.token());
  if (!opened) co_return opened.error();
  http::NdjsonReader lines(kLineBytesMax);
  std::string piece;
  while (true) {
    piece.clear();
    const auto more = co_await opened->response->read_some(piece);
    if (!more || !*more) {
      gateway.leave(opened->at);
      co_return more ? Error{Errc::unavailable, "the watch stream ended"} : more.error();
    }
    const auto taken =
        co_await take_lines(feed, key_prefix, lines, piece, io::Call{io::kNever, ended.token()});
    if (!taken) {
      if (taken.error().code == Errc::unavailable) gateway.leave(opened->at);
      co_return taken.error();
    }
  }
}

}  // namespace

io::Task<Result<std::vector<Event>>> EtcdWatch::next(io::Call call) {
  while (feed_->waiting.empty() && !feed_->end) {
    CO_TRY_VOID(co_await feed_->readable.wait(call));
  }
  if (feed_->waiting.empty()) co_return fail(*feed_->end);
  auto events = std::move(feed_->waiting.front());
  feed_->waiting.pop_front();
  feed_->room.notify_all();
  co_return events;
}

io::Task<void> read_watch(io::World& world, Gateway& gateway, std::string key_prefix,
                          std::shared_ptr<WatchFeed> feed, io::CancelToken stop) {
  const auto over = [&] { return stop.cancelled() || feed->wanted.cancelled(); };
  while (!over()) {
    const auto error = co_await read_stream(gateway, key_prefix, *feed, stop);
    if (over()) break;
    if (error.code == Errc::corrupt || error.code == Errc::forbidden) {
      feed->finish(error);
      co_return;
    }
    log_debug("watch begins again", field("from", feed->next), field("error", error));
    watch_reconnects.add();
    const auto pause =
        std::chrono::duration_cast<io::Duration>(kAgainAfter * (0.5 + world.random.unit()));
    // Its end is seen at the loop's head.
    (void)co_await world.clock.sleep_for(pause, io::Call{io::kNever, stop});
  }
  feed->finish({Errc::unavailable, "metadata is closed"});
}

}  // namespace om::metadata
