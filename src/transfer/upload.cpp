#include "transfer/upload.h"

#include "base/log.h"
#include "transfer/upload_session.h"

namespace om::transfer {
namespace {

// Decides what is tried again, and where.
class LayerUpload {
 public:
  LayerUpload(Registry& registry, UploadTable::Claim& claim, const model::Layer& layer,
              io::File& file, UploadProgress& progress, io::Call call)
      : registry_(registry),
        claim_(claim),
        layer_(layer),
        session_(registry, layer, file, progress, call),
        call_(std::move(call)),
        in_one_piece_(layer.size == 0) {}

  io::Task<Result<void>> run() {
    if (const std::string url = claim_.url(); !url.empty()) {
      const auto adopted = session_.adopt(url);
      if (!adopted) co_await claim_.forget();
    }
    while (true) {
      auto done = co_await attempt();
      if (done) {
        co_await claim_.forget();
        co_return done;
      }
      const Next next = next_after(done.error());
      if (next == Next::give_up) co_return done;
      if (next == Next::anew) session_.close();
      if (next == Next::in_one_piece) {
        in_one_piece_ = true;
      } else if (++tries_ >= kUploadTriesMax) {
        co_return done;
      }
      last_error_ = done.error();
      log_debug("upload is tried again", field("blob", layer_.digest), field("try", tries_),
                field("error", last_error_));
      if (tries_ == 0) continue;
      io::Clock& clock = registry_.context().world.clock;
      CO_TRY_VOID(co_await clock.sleep_for(backoff(tries_), call_));
    }
  }

 private:
  io::Task<Result<void>> attempt() {
    if (all_sent_) {  // Perhaps only the last answer was lost.
      CO_TRY(const bool present, co_await registry_.has_blob(layer_.digest, call_));
      if (present) co_return Result<void>{};
    }
    if (session_.is_open()) CO_TRY_VOID(co_await find_place());
    if (!session_.is_open()) {
      CO_TRY(const bool mounted, co_await start());
      if (mounted) co_return Result<void>{};
    }
    if (in_one_piece_) co_return co_await session_.send_whole();
    while (session_.offset() < layer_.size) {
      CO_TRY_VOID(co_await session_.send_part());
      note_progress();
      co_await remember();
    }
    all_sent_ = true;
    co_return co_await session_.commit();
  }

  // Closes the session where it cannot go on.
  io::Task<Result<void>> find_place() {
    if (in_one_piece_ || session_.is_elsewhere()) {
      session_.close();
      co_return Result<void>{};
    }
    const auto found = co_await session_.find_offset();
    if (found) {
      went_on_ = true;
      note_progress();
      log_info("upload goes on", field("blob", layer_.digest), field("present", session_.offset()),
               field("size", layer_.size));
    } else if (retryable(found.error().code) || found.error().code == Errc::cancelled) {
      co_return found;
    } else {
      log_info("upload begins anew", field("blob", layer_.digest), field("why", found.error()));
      session_.close();
    }
    co_return Result<void>{};
  }

  io::Task<Result<bool>> start() {
    if (best_offset_ > 0 && ++restarts_ > kUploadRestartsMax) {
      gives_up_ = true;
      co_return fail(last_error_);
    }
    all_sent_ = went_on_ = false;
    CO_TRY(const bool mounted, co_await session_.start());
    if (!mounted && !in_one_piece_) co_await remember();
    co_return mounted;
  }

  // Small blobs are sent again sooner than they are remembered. Before the first part is taken, a
  // registry may still point elsewhere.
  io::Task<void> remember() {
    if (layer_.size < kOwnPartBytesMin || !session_.is_at_registry()) co_return;
    if (registry_.keeps_uploads()) co_await claim_.remember(session_.url());
  }

  void note_progress() {
    if (session_.offset() <= best_offset_) return;
    best_offset_ = session_.offset();
    tries_ = 0;
  }

  enum class Next { again, anew, in_one_piece, give_up };
  Next next_after(const Error& error) const {
    if (gives_up_ || call_.cancel.cancelled()) return Next::give_up;
    const int status = session_.refused_with();
    const bool is_refusal = !retryable(error.code) && status != 0;
    const bool is_new = session_.offset() == 0 && !went_on_;
    if (is_refusal && is_new && !in_one_piece_ &&
        (status == 404 || status == 405 || status == 501)) {
      return Next::in_one_piece;  // It knows no parts.
    }
    // The registry has lost the session, or what is in it is not what we have sent.
    const bool is_gone = status == 404 || status == 410;
    const bool is_lost =
        is_refusal &&
        (all_sent_ ? went_on_ || is_gone : !is_new && (is_gone || status == 416 || status == 400));
    if (is_lost && all_sent_ && !is_gone) return Next::anew;
    return is_lost || retryable(error.code) ? Next::again : Next::give_up;
  }

  Registry& registry_;
  UploadTable::Claim& claim_;
  const model::Layer& layer_;
  UploadSession session_;
  io::Call call_;
  Error last_error_;
  uint64_t best_offset_ = 0;
  int tries_ = 0, restarts_ = 0;
  bool in_one_piece_;  // One PUT instead of parts.
  bool all_sent_ = false, went_on_ = false, gives_up_ = false;
};

}  // namespace

io::Task<Result<void>> upload_layer(Registry& registry, UploadTable& uploads,
                                    const model::Layer& layer, UploadProgress& progress,
                                    io::Call call) {
  io::World& world = registry.context().world;
  const auto claim = co_await uploads.claim(registry.url("blobs/" + layer.digest.str()).str());
  CO_TRY(const bool present, co_await registry.has_blob(layer.digest, call));
  if (present) {
    co_await claim->forget();
    co_return Result<void>{};
  }
  const io::Path path = registry.context().store.blob_path(layer.digest);
  CO_TRY(const auto file, world.files.open(path, io::Filesystem::Open::read));
  LayerUpload upload(registry, *claim, layer, *file, progress, call);
  co_return co_await upload.run();
}

}  // namespace om::transfer
