#include "transfer/peer_blobs.h"

#include <algorithm>

#include "base/log.h"
#include "base/strings.h"
#include "http/forwarding_writer.h"
#include "http/range.h"
#include "transfer/chunk_source.h"
#include "transfer/metrics.h"

namespace om::transfer {
namespace {

constexpr std::string_view kPrefix = "/peer/v1/blobs/";
constexpr std::string_view kChunks = "/chunks";
constexpr std::string_view kDoubt = "/doubt";

io::Task<void> refuse(http::ResponseWriter& response, int status, std::string_view why) {
  // A peer that has left needs no answer.
  (void)co_await response.send(status, "application/json",
                               fmt::format("{{\"error\":\"{}\"}}", why));
}

// Sends the bytes of a body as the cap allows it, and counts them.
class CappedWriter final : public http::ForwardingWriter {
 public:
  CappedWriter(http::ResponseWriter& inner, Bandwidth& bandwidth, io::CancelToken cancel)
      : ForwardingWriter(inner), bandwidth_(bandwidth), cancel_(std::move(cancel)) {}

  io::Task<Result<void>> write(std::string_view data) override {
    CO_TRY_VOID(co_await bandwidth_.take(data.size(), {io::kNever, cancel_}));
    CO_TRY_VOID(co_await inner_.write(data));
    peer_sent_bytes.add(data.size());
    co_return Result<void>{};
  }
  io::Task<Result<void>> write_file(io::Workers& workers, io::File& file, uint64_t offset,
                                    uint64_t length) override {
    // The head first: who asked gives up when nothing comes for a while.
    CO_TRY_VOID(co_await inner_.write_file(workers, file, offset, 0));
    while (length > 0) {
      const uint64_t piece = std::min(length, piece_bytes());
      CO_TRY_VOID(co_await bandwidth_.take(piece, {io::kNever, cancel_}));
      CO_TRY_VOID(co_await inner_.write_file(workers, file, offset, piece));
      peer_sent_bytes.add(piece);
      offset += piece;
      length -= piece;
    }
    co_return Result<void>{};
  }

 private:
  // A fraction of what may pass in a second: each of many who are sent to hears often enough.
  uint64_t piece_bytes() const {
    constexpr uint64_t kPieceMin = 4 * 1024, kPieceMax = 1 << 20, kPiecesPerSecond = 16;
    const uint64_t rate = bandwidth_.rate();
    return rate == 0 ? UINT64_MAX : std::clamp(rate / kPiecesPerSecond, kPieceMin, kPieceMax);
  }

  Bandwidth& bandwidth_;
  io::CancelToken cancel_;
};

// True if all chunks of these bytes may be given out.
bool is_verified(const IncomingBlob& blob, const http::ByteRange& range) {
  const size_t last = static_cast<size_t>((range.offset + range.length - 1) / kChunkBytes);
  for (size_t chunk = static_cast<size_t>(range.offset / kChunkBytes); chunk <= last; chunk++) {
    if (!blob.chunk_is_verified(chunk)) return false;
  }
  return true;
}

}  // namespace

io::Task<bool> PeerBlobs::handle(http::Request& request, http::ResponseWriter& response) {
  std::string_view path = request.path;
  if (!path.starts_with(kPrefix)) co_return false;
  path.remove_prefix(kPrefix.size());
  const bool asks_for_chunks = path.ends_with(kChunks);
  if (asks_for_chunks) path.remove_suffix(kChunks.size());
  const bool doubts = path.ends_with(kDoubt);
  if (doubts) path.remove_suffix(kDoubt.size());
  const auto digest = Digest::parse(path);
  const bool is_get = request.method == "GET";
  if (!digest) {
    co_await refuse(response, 404, "no digest");
  } else if (doubts && request.method == "POST") {
    co_await take_doubt(response, *digest);
  } else if (doubts || (!is_get && (asks_for_chunks || request.method != "HEAD"))) {
    co_await refuse(response, 405, "method not allowed");
  } else if (asks_for_chunks) {
    co_await send_offer(request, response, *digest);
  } else {
    co_await send_bytes(request, response, *digest);
  }
  co_return true;
}

io::Task<void> PeerBlobs::take_doubt(http::ResponseWriter& response, Digest digest) {
  if (!store_.blob_size(digest)) {
    co_await refuse(response, 404, "the blob is not here");
    co_return;
  }
  lists_.doubt(digest);
  (void)co_await response.send(202, "application/json", "{}");  // As in refuse().
}

io::Task<PeerBlobs::Source> PeerBlobs::find_source(Digest digest) {
  Source source;
  if (auto entry = co_await lists_.find(digest)) {
    source.whole = std::move(*entry);
  } else if (source.incoming = incoming_.find(digest); !source.incoming) {
    // It may have become whole between the two looks.
    if (auto again = co_await lists_.find(digest)) source.whole = std::move(*again);
  }
  co_return source;
}

std::optional<Offer> PeerBlobs::offer_of(const Source& source, size_t after) {
  if (source.whole) {
    if (source.whole->bad_since) return {};
    return Offer::of(source.whole->list, after, true);
  }
  if (source.incoming) return Offer::of(source.incoming->chunks(), after, false);
  return {};
}

// However the wait ends, the caller looks again.
io::Task<void> PeerBlobs::wait_for_news(Source source, size_t after, io::Call call) {
  if (source.whole) {
    const ChunkList& list = source.whole->list;
    if (list.known() > after || list.complete()) co_return;
    (void)co_await source.whole->changed.wait(std::move(call));
  } else if (source.incoming && source.incoming->chunks().known() <= after) {
    (void)co_await source.incoming->changed().wait(std::move(call));
  }
}

io::Task<void> PeerBlobs::send_offer(http::Request& request, http::ResponseWriter& response,
                                     Digest digest) {
  const size_t after = parse_number<size_t>(request.query_value("after")).value_or(0);
  const io::TimePoint until = world_.clock.now() + kOfferWait;
  Source source = co_await find_source(digest);
  auto offer = offer_of(source, after);
  while (offer && offer->chunks.empty() && world_.clock.now() < until) {
    if (request.cancel.cancelled() || offer->known >= chunks_of(offer->size)) break;
    co_await wait_for_news(source, after, {until, request.cancel});
    source = co_await find_source(digest);
    offer = offer_of(source, after);
  }
  if (!offer) {
    co_await refuse(response, 404, "the blob is not here");
    co_return;
  }
  (void)co_await response.send(200, "application/json", offer->to_json());  // As in refuse().
}

io::Task<void> PeerBlobs::send_bytes(http::Request& request, http::ResponseWriter& response,
                                     Digest digest) {
  CappedWriter capped(response, bandwidth_, request.cancel);
  http::FileToSend file;
  file.path = store_.blob_path(digest);
  auto sent = co_await http::send_file(world_, request, capped, file);
  const auto is_missing = [&] {
    return !sent && sent.error().code == Errc::not_found && !response.started();
  };
  if (is_missing()) {
    if (const auto blob = incoming_.find(digest)) sent = co_await send_part(request, capped, blob);
  }
  // It may have become whole between the two looks.
  if (is_missing()) sent = co_await http::send_file(world_, request, capped, std::move(file));
  if (is_missing()) {
    response.headers().remove("Accept-Ranges");
    co_await refuse(response, 404, "the blob is not here");
    co_return;
  }
  if (!sent && !response.started()) co_await refuse(response, 503, "the blob cannot be read");
  if (!sent && sent.error().code == Errc::io_failed) {
    log_warn("blob not sent", field("blob", digest), field("error", sent.error()));
  }
}

io::Task<Result<void>> PeerBlobs::send_part(http::Request& request, http::ResponseWriter& response,
                                            std::shared_ptr<IncomingBlob> blob) {
  const auto asked = http::parse_range(request.headers.get("Range"), blob->size());
  if (asked.kind != http::RangeKind::part || !is_verified(*blob, asked.range)) {
    co_return co_await response.send(404, "application/json", R"({"error":"not here yet"})");
  }
  const auto [offset, length] = asked.range;
  CO_TRY(const auto file, world_.files.open(blob->path(), io::Filesystem::Open::read));
  response.headers().set("Content-Range",
                         fmt::format("bytes {}-{}/{}", offset, offset + length - 1, blob->size()));
  CO_TRY_VOID(co_await response.start(206, "application/octet-stream", length));
  if (request.method == "GET") {
    CO_TRY_VOID(co_await response.write_file(world_.workers, *file, offset, length));
  }
  co_return co_await response.finish();
}

}  // namespace om::transfer
