#include "transfer/peer_fetch.h"

#include "base/check.h"
#include "base/log.h"
#include "transfer/metrics.h"

namespace om::transfer {
namespace {

using store::PartialBlob;

constexpr uint64_t kProgressBytes = 32 * 1024;  // Less in kFetchSilenceMax is none.
constexpr std::chrono::seconds kWatchInterval{1};
constexpr std::chrono::milliseconds kIdleLook{500};    // Whether somebody has become slow.
constexpr std::chrono::milliseconds kNothingNew{250};  // Between two offers without news.
constexpr std::chrono::milliseconds kRateWindow{1000};

double seconds(io::Duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

struct PeerFetch::Source {
  SourceId id = 0;
  std::unique_ptr<ChunkSource> from;
  std::map<uint32_t, Digest> claims;
  size_t known = 0;
  int failures = 0;
  double rate = 0;  // Bytes a second of one of its requests.
  bool gone = false;
  io::CancelSource cancel;
};

// A chunk that is asked of one source.
struct PeerFetch::Request {
  io::CancelSource cancel;
  uint64_t received = 0;
  io::TimePoint mark{};  // When it was sent, its first byte came, or `rate` was measured.
  uint64_t mark_received = 0;
  std::optional<double> rate;

  void note(uint64_t count, io::TimePoint now) {
    if (received == 0 && count > 0) {
      mark = now;
      rate.reset();
    }
    received += count;
  }
  // Of about the last second, or of what has passed of the first one; falls to 0 when nothing
  // comes. None: it has just begun.
  std::optional<double> rate_at(io::TimePoint now) {
    const io::Duration passed = now - mark;
    const bool has_passed = passed >= kRateWindow;
    if (!has_passed && (rate || received == 0 || passed == io::Duration{})) return rate;
    const double lately = static_cast<double>(received - mark_received) / seconds(passed);
    if (!has_passed) return lately;
    rate = lately;
    mark = now;
    mark_received = received;
    return rate;
  }
};

PeerFetch::PeerFetch(io::World& world, std::shared_ptr<IncomingBlob> blob, Bandwidth& bandwidth,
                     uint64_t seed)
    : world_(world),
      blob_(std::move(blob)),
      bandwidth_(bandwidth),
      plan_(blob_->chunk_count(), seed),
      last_progress_(world.clock.now()),
      changed_(world.clock),
      tasks_(world.executor, world.clock) {}

PeerFetch::~PeerFetch() = default;

bool PeerFetch::has_source(std::string_view name) const { return sources_.contains(name); }

bool PeerFetch::rests(std::string_view name) const {
  const auto found = resting_.find(name);
  return found != resting_.end() && found->second > world_.clock.now();
}

bool PeerFetch::add_source(std::unique_ptr<ChunkSource> from) {
  const std::string name = from->name();
  if (sources_.size() >= kSourcesMax || sources_.contains(name) || dropped_.contains(name)) {
    return false;
  }
  if (rests(name)) return false;
  auto source = std::make_shared<Source>();
  source->id =
      plan_.add_source(from->is_registry() ? ChunkPlan::Kind::registry : ChunkPlan::Kind::node);
  source->from = std::move(from);
  sources_.emplace(name, source);
  if (running_) start(source);
  return true;
}

void PeerFetch::remove_source(std::string_view name) {
  const auto found = sources_.find(name);
  if (found != sources_.end()) drop(*std::shared_ptr(found->second), "no longer wanted", false);
}

void PeerFetch::start(const std::shared_ptr<Source>& source) {
  const bool is_registry = source->from->is_registry();
  if (!is_registry) tasks_.spawn(learn(source));
  const size_t streams = is_registry ? kStreamsToRegistry : kStreamsPerNode;
  for (size_t i = 0; i < streams; i++) tasks_.spawn(work(source));
}

void PeerFetch::drop(Source& source, std::string_view why, bool for_good) {
  if (source.gone) return;
  source.gone = true;
  const std::string name = source.from->name();
  plan_.remove_source(source.id);
  log_info("source dropped", field("blob", blob_->digest()), field("source", name),
           field("why", why));
  if (for_good) {
    dropped_.insert(name);
    sources_dropped.add();
    if (!source.from->is_registry()) tasks_.spawn(tell_doubt(sources_.find(name)->second));
  } else {
    resting_.insert_or_assign(name, world_.clock.now() + kSourceRest);
  }
  sources_.erase(name);
  source.cancel.cancel();
  changed_.notify_all();
}

io::Task<void> PeerFetch::tell_doubt(std::shared_ptr<Source> source) {
  const auto told = co_await source->from->doubt(world_.clock.call_within(kDoubtMax));
  if (told) co_return;
  log_info("source not told that its copy is wrong", field("source", source->from->name()),
           field("error", told.error()));
}

void PeerFetch::fail_with(Error error) {
  if (!error_) error_ = std::move(error);
  changed_.notify_all();
}

io::Task<Result<void>> PeerFetch::run(io::Call call) {
  CHECK(!running_, "a fetch is run twice");
  CO_TRY_VOID(co_await blob_->verify_filled());
  for (size_t chunk = 0; chunk < blob_->chunk_count(); chunk++) {
    if (blob_->chunk_is_verified(chunk)) plan_.done(chunk);
  }
  running_ = true;
  last_progress_ = world_.clock.now();
  tasks_.spawn(watch());
  for (const auto& [name, source] : sources_) start(source);
  Result<void> waited;
  while (!over() && waited) waited = co_await changed_.wait(call);
  stop_.cancel();
  for (const auto& [name, source] : sources_) source->cancel.cancel();
  for (const auto& [chunk, request] : requests_) request->cancel.cancel();
  changed_.notify_all();
  co_await tasks_.stop();
  if (plan_.complete()) co_return Result<void>{};
  if (error_) co_return fail(*error_);
  co_return waited;
}

io::Task<void> PeerFetch::watch() {
  while (co_await world_.clock.sleep_for(kWatchInterval, {io::kNever, stop_.token()})) {
    if (blob_->is_syncing() || world_.clock.now() - last_progress_ < kFetchSilenceMax) continue;
    std::string why;
    if (registry_error_) why = fmt::format(" (the registry: {})", registry_error_->what);
    fail_with({Errc::unavailable,
               fmt::format("no data for {} s from any of {} sources{}; pull again to go on where "
                           "it stopped",
                           kFetchSilenceMax.count(), sources_.size(), why)});
    co_return;
  }
}

io::Task<void> PeerFetch::pause(int failures, const io::CancelToken& cancel) {
  // Cut short by whoever ends the source: the caller looks.
  (void)co_await world_.clock.sleep_for(backoff(failures), {io::kNever, cancel});
}

io::Task<void> PeerFetch::learn(std::shared_ptr<Source> source) {
  const io::CancelToken cancel = source->cancel.token();
  while (!over() && !source->gone) {
    const auto offer = co_await source->from->offer(source->known, {io::kNever, cancel});
    if (over() || source->gone) co_return;
    if (!offer) {
      const bool is_over = offer.error().code == Errc::not_found;
      if (is_over || ++source->failures >= kSourceFailuresMax) {
        drop(*source, offer.error().what, offer.error().code == Errc::corrupt);
        co_return;
      }
      co_await pause(source->failures, cancel);
      continue;
    }
    const size_t before = source->known;
    if (const auto taken = take_offer(*source, *offer); !taken) {
      drop(*source, taken.error().what, true);
      co_return;
    }
    changed_.notify_all();
    if (source->known == blob_->chunk_count()) co_return;
    if (source->known == before) {
      (void)co_await world_.clock.sleep_for(kNothingNew, {io::kNever, cancel});
    }
  }
}

Result<void> PeerFetch::take_offer(Source& source, const Offer& offer) {
  if (offer.size != blob_->size()) {
    return fail(Errc::corrupt, "its blob has {} bytes instead of {}", offer.size, blob_->size());
  }
  for (const auto& [chunk, digest] : offer.chunks) {
    source.claims.insert_or_assign(chunk, digest);
    plan_.offered(source.id, chunk);
  }
  source.known = std::max(source.known, offer.known);
  return {};
}

std::optional<size_t> PeerFetch::claim(Source& source) {
  if (auto chunk = plan_.next(source.id)) return chunk;
  const io::TimePoint now = world_.clock.now();
  for (const auto& [chunk, request] : requests_) {
    const auto rate = request->rate_at(now);
    if (!rate) continue;
    const uint64_t length = chunk_length(blob_->size(), chunk);
    plan_.progress(chunk, length - std::min(length, request->received), *rate);
  }
  const auto stolen = plan_.steal(source.id, source.rate);
  if (!stolen) return {};
  chunks_stolen.add();
  if (const auto theirs = requests_.find(stolen->chunk); theirs != requests_.end()) {
    theirs->second->cancel.cancel();
  }
  return stolen->chunk;
}

io::Task<void> PeerFetch::work(std::shared_ptr<Source> source) {
  const io::CancelToken cancel = source->cancel.token();
  while (!over() && !source->gone) {
    const auto chunk = claim(*source);
    if (!chunk) {
      // Woken by news, or to look whether somebody has become slow.
      (void)co_await changed_.wait({world_.clock.now() + kIdleLook, cancel});
      continue;
    }
    co_await fetch_chunk(source, *chunk);
    if (source->failures > 0 && !source->gone) co_await pause(source->failures, cancel);
  }
}

io::Task<void> PeerFetch::fetch_chunk(std::shared_ptr<Source> source, size_t chunk) {
  const auto request = std::make_shared<Request>();
  request->mark = world_.clock.now();
  requests_.insert_or_assign(chunk, request);
  const io::OnCancel on_cancel(source->cancel.token(), [request] { request->cancel.cancel(); });
  const io::TimePoint begun = world_.clock.now();
  const auto received = co_await receive_chunk(*source, chunk, *request);
  // Else it was stolen, and may be asked of this source again by now.
  const auto last = requests_.find(chunk);
  const bool is_last = last != requests_.end() && last->second == request;
  if (is_last) requests_.erase(last);
  if (received && blob_->chunk_is_verified(chunk)) {
    source->failures = 0;
    const double rate = static_cast<double>(request->received) /
                        std::max(1e-6, seconds(world_.clock.now() - begun));
    source->rate = source->rate > 0 ? 0.7 * source->rate + 0.3 * rate : rate;
    if (source->from->is_registry()) registry_error_.reset();
    plan_.done(chunk);
  } else {
    if (is_last) plan_.release(source->id, chunk);
    if (!received && !source->gone && !over()) {
      judge_failure(*source, chunk, *request, received.error());
    }
  }
  changed_.notify_all();
}

void PeerFetch::judge_failure(Source& source, size_t chunk, const Request& request,
                              const Error& error) {
  if (error.code == Errc::cancelled && request.cancel.cancelled()) return;  // Stolen from it.
  if (source.from->is_registry()) registry_error_ = error;
  if (error.code == Errc::io_failed || error.code == Errc::unsupported) {
    fail_with(error);
    return;
  }
  if (error.code == Errc::corrupt) {
    // Blocks that were here before may be the wrong ones: then the next one brings all of them.
    const bool all_its_own = request.received >= chunk_length(blob_->size(), chunk);
    const bool other_size = request.received == 0;
    if (all_its_own || other_size) drop(source, error.what, true);
    return;
  }
  // Whoever falls silent makes room: what only it offers may be asked of the registry then.
  const bool is_silent = error.code == Errc::deadline_exceeded;
  if (is_silent || error.code == Errc::not_found || ++source.failures >= kSourceFailuresMax) {
    drop(source, error.what, false);
  }
}

io::Task<Result<void>> PeerFetch::receive_chunk(Source& source, size_t chunk, Request& request) {
  const size_t first = chunk * kBlocksPerChunk;
  const size_t end = std::min(blob_->block_count(), first + kBlocksPerChunk);
  for (size_t block = first; block < end;) {
    if (blob_->has_block(block)) {
      block++;
      continue;
    }
    size_t run_end = block + 1;
    while (run_end < end && !blob_->has_block(run_end)) run_end++;
    CO_TRY_VOID(co_await receive_run(source, block, run_end, request));
    block = run_end;
  }
  if (!blob_->chunk_is_filled(chunk)) {
    co_return fail(Errc::cancelled, "the chunk was taken apart meanwhile");
  }
  std::optional<Digest> expected;
  const auto claim = source.claims.find(static_cast<uint32_t>(chunk));
  if (claim != source.claims.end()) expected = claim->second;
  co_return co_await blob_->verify_chunk(chunk, expected);
}

// A call's deadline would hold for the bytes too, of which there may be many.
io::Task<Result<std::unique_ptr<ByteStream>>> PeerFetch::open_in_time(Source& source,
                                                                      uint64_t offset,
                                                                      uint64_t length,
                                                                      Request& request) {
  bool late = false;
  const auto timer = world_.clock.start_timer(world_.clock.now() + kSourceIdleMax, [&] {
    late = true;
    request.cancel.cancel();
  });
  auto stream = co_await source.from->open(offset, length, {io::kNever, request.cancel.token()});
  world_.clock.cancel_timer(timer);
  if (late) co_return fail(Errc::deadline_exceeded, "{} does not answer", source.from->name());
  co_return stream;
}

io::Task<Result<void>> PeerFetch::receive_run(Source& source, size_t first, size_t end,
                                              Request& request) {
  const uint64_t offset = first * PartialBlob::kBlockBytes;
  const uint64_t length =
      (end - 1) * PartialBlob::kBlockBytes + blob_->block_bytes(end - 1) - offset;
  const io::Call call{io::kNever, request.cancel.token()};
  CO_TRY(const auto stream, co_await open_in_time(source, offset, length, request));
  std::string buffer;
  size_t block = first;
  Result<void> outcome;
  while (block < end && outcome) {
    const size_t before = buffer.size();
    const auto more = co_await stream->read_some(buffer);
    const uint64_t count = buffer.size() - before;
    note_bytes(source, request, count);
    if (!more) {
      outcome = fail(more.error());
      break;
    }
    outcome = co_await bandwidth_.take(count, call);
    if (outcome) outcome = co_await take_blocks(buffer, block, end, call);
    if (outcome && !*more && block < end) {
      outcome = fail(Errc::unavailable, "{} closed the connection early", source.from->name());
    }
  }
  in_flight_ -= std::min<uint64_t>(in_flight_, buffer.size());
  co_return outcome;
}

io::Task<Result<void>> PeerFetch::take_blocks(std::string& buffer, size_t& block, size_t end,
                                              const io::Call& call) {
  while (block < end && buffer.size() >= blob_->block_bytes(block)) {
    const size_t length = blob_->block_bytes(block);
    std::string data = buffer.substr(0, length);
    buffer.erase(0, length);
    in_flight_ -= length;
    if (call.cancel.cancelled()) co_return fail(Errc::cancelled, "the chunk is not wanted");
    CO_TRY_VOID(co_await blob_->write_block(block, std::move(data), call));
    block++;
  }
  co_return Result<void>{};
}

void PeerFetch::note_bytes(Source& source, Request& request, uint64_t count) {
  in_flight_ += count;
  request.note(count, world_.clock.now());
  if (source.from->is_registry()) {
    registry_bytes_ += count;
    received_bytes.add(count);
  } else {
    node_bytes_ += count;
    peer_received_bytes.add(count);
  }
  since_progress_ += count;
  if (since_progress_ < kProgressBytes) return;
  since_progress_ = 0;
  last_progress_ = world_.clock.now();
}

}  // namespace om::transfer
