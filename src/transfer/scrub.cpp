#include "transfer/scrub.h"

#include "base/json_fields.h"
#include "base/log.h"
#include "io/wall_time.h"
#include "model/json_text.h"
#include "transfer/metrics.h"

namespace om::transfer {
namespace {

namespace json = boost::json;

constexpr uint64_t kPieceBytes = 1 << 20;
constexpr uint64_t kStateBytesMax = 4096;
constexpr std::chrono::minutes kRest{10};  // From a start, or a pass that failed, to the next pass.
constexpr std::chrono::minutes kBetweenSaves{1};

Result<size_t> hash_piece(io::File& file, uint64_t offset, std::string& buffer, Hasher& hasher) {
  buffer.resize(kPieceBytes);
  TRY(const size_t count, file.read_at(offset, buffer));
  hasher.update(std::string_view(buffer).substr(0, count));
  return count;
}

Result<json::object> read_state(io::Filesystem& files, const io::Path& file) {
  TRY(const std::string text, files.read_file(file, kStateBytesMax));
  return model::parse_json_object(text, file);
}

}  // namespace

Scrubber::Scrubber(io::World& world, store::Store& store, ScrubOptions options, OnRotten on_rotten)
    : world_(world),
      store_(store),
      options_(options),
      on_rotten_(std::move(on_rotten)),
      bandwidth_(world.clock, options.bytes_per_second),
      tasks_(world.executor, world.clock) {}

void Scrubber::start() { tasks_.spawn(run()); }
io::Task<void> Scrubber::stop() { co_await tasks_.stop(); }

void Scrubber::suspect(const Digest& digest) {
  if (tasks_.token().cancelled()) return;
  const io::TimePoint now = world_.clock.now();
  std::erase_if(suspected_, [&](const auto& at) { return now - at.second >= kDoubtRest; });
  if (suspected_.size() >= kDoubtsMax || !suspected_.emplace(digest, now).second) return;
  tasks_.spawn(look_at(digest));
}

io::Duration Scrubber::time_to_next_pass() const {
  const io::Duration rest = std::min<io::Duration>(kRest, options_.between_passes);
  // A clock that was set back must not put the next pass off for longer than one that runs.
  const std::chrono::seconds passed{
      std::max<int64_t>(0, io::unix_seconds(world_.clock.wall_now()) - progress_.done)};
  if (passed >= options_.between_passes) return rest;
  return std::max<io::Duration>(rest, options_.between_passes - passed);
}

io::Task<void> Scrubber::load_progress() {
  progress_ = {.done = io::unix_seconds(world_.clock.wall_now()), .after = {}};
  if (options_.state_file.empty()) co_return;
  const auto object = read_state(world_.files, options_.state_file);
  if (!object) {
    if (object.error().code != Errc::not_found) {
      log_warn("scrub begins anew", field("error", object.error()));
    }
    co_await save_progress();
    co_return;
  }
  const JsonFields fields(*object);
  fields.read("done", progress_.done);
  std::string after;
  fields.read("after", after);
  if (const auto digest = Digest::parse(after)) progress_.after = *digest;
  const int64_t now = io::unix_seconds(world_.clock.wall_now());
  if (progress_.done <= now) co_return;
  // The clock was ahead then. From now on, once: else every start would put the pass off anew.
  progress_.done = now;
  co_await save_progress();
}

io::Task<void> Scrubber::save_progress() {
  if (options_.state_file.empty()) co_return;
  saved_ = world_.clock.now();
  json::object object{{"done", progress_.done}};
  if (progress_.after) object["after"] = progress_.after->str();
  auto job = [this, text = json::serialize(object) + "\n"] {
    return world_.files.write_file(options_.state_file, text);
  };
  const auto saved = co_await world_.workers.run(std::move(job));
  // Nothing is lost but time: the pass is repeated after a start.
  if (!saved) log_warn("scrub state not saved", field("error", saved.error()));
}

io::Task<void> Scrubber::run() {
  const io::CancelToken cancel = tasks_.token();
  co_await load_progress();
  while (co_await world_.clock.sleep_for(time_to_next_pass(), {io::kNever, cancel})) {
    const auto done = co_await pass(cancel);
    if (!done && !cancel.cancelled()) log_warn("scrub ended", field("error", done.error()));
    if (done) log_info("scrub done", field("rotten", *done));
  }
}

io::Task<void> Scrubber::look_at(Digest digest) {
  const auto examined = co_await examine(digest, tasks_.token());
  if (examined || examined.error().code == Errc::cancelled) co_return;
  log_warn("blob not examined", field("blob", digest), field("error", examined.error()));
}

io::Task<Result<size_t>> Scrubber::pass(io::CancelToken cancel) {
  CO_TRY(const auto blobs, store_.blobs());
  size_t rotten = 0;
  for (const Digest& digest : blobs) {
    if (progress_.after && digest <= *progress_.after) continue;
    const auto examined = co_await examine(digest, cancel);
    if (examined) {
      rotten += *examined ? 1 : 0;
    } else if (cancel.cancelled()) {
      co_await save_progress();
      co_return fail(examined.error());
    } else if (examined.error().code != Errc::not_found) {  // Removed meanwhile is no trouble.
      log_warn("blob not examined", field("blob", digest), field("error", examined.error()));
    }
    progress_.after = digest;
    if (world_.clock.now() - saved_ >= kBetweenSaves) co_await save_progress();
  }
  progress_ = {.done = io::unix_seconds(world_.clock.wall_now()), .after = {}};
  co_await save_progress();
  co_return rotten;
}

io::Task<Result<bool>> Scrubber::examine(Digest digest, io::CancelToken cancel) {
  // Twice: a wrong bit may be one of memory, and a disk may read at its second try.
  for (int reading = 0; reading < 2; reading++) {
    CO_TRY(const bool sound, co_await is_sound(digest, cancel));
    if (sound) co_return false;
  }
  CO_TRY_VOID(co_await store_.quarantine_blob(digest));
  rotten_blobs.add();
  log_error("blob has rotted and is put aside", field("blob", digest));
  on_rotten_(digest);
  co_return true;
}

io::Task<Result<bool>> Scrubber::is_sound(Digest digest, io::CancelToken cancel) {
  CO_TRY(const auto file, world_.files.open(store_.blob_path(digest), io::Filesystem::Open::read));
  Hasher hasher;
  std::string buffer;
  CO_TRY(const uint64_t size, file->size());
  for (uint64_t offset = 0; offset < size;) {
    CO_TRY_VOID(
        co_await bandwidth_.take(std::min(kPieceBytes, size - offset), {io::kNever, cancel}));
    auto hash = [&file, &buffer, &hasher, offset] {
      return hash_piece(*file, offset, buffer, hasher);
    };
    const auto count = co_await world_.workers.run(std::move(hash));
    if (!count) {
      // A sector that cannot be read is as lost as one that reads wrong. That the blob could be
      // opened tells it from a disk that is gone.
      log_warn("blob cannot be read", field("blob", digest), field("at", offset),
               field("error", count.error()));
      co_return false;
    }
    if (*count == 0) break;
    scrubbed_bytes.add(*count);
    offset += *count;
  }
  co_return hasher.finish() == digest;
}

}  // namespace om::transfer
