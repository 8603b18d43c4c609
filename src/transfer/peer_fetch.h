// Fetches a blob chunk by chunk from all sources that have some of it.
#pragma once

#include <map>
#include <memory>
#include <set>

#include "io/event.h"
#include "io/task_group.h"
#include "transfer/bandwidth.h"
#include "transfer/chunk_plan.h"
#include "transfer/chunk_source.h"
#include "transfer/incoming_blob.h"

namespace om::transfer {

inline constexpr size_t kSourcesMax = 16;     // Of one blob at a time.
inline constexpr size_t kStreamsPerNode = 2;  // One brings bytes while the other begins.
inline constexpr size_t kStreamsToRegistry = 4;
inline constexpr int kSourceFailuresMax = 3;  // In a row.
inline constexpr std::chrono::seconds kFetchSilenceMax{30};
inline constexpr std::chrono::seconds kDoubtMax{2};
inline constexpr std::chrono::seconds kSourceRest{5};  // For a source that was silent or failing.

// The I/O around a ChunkPlan. Each chunk is checked against the digest that its source told; the
// first wrong chunk drops the source for good, and the source is told (ChunkSource::doubt). Blocks
// that the IncomingBlob has are not fetched again. run() once; sources may come and go meanwhile.
// On the io thread.
class PeerFetch {
 public:
  PeerFetch(io::World& world, std::shared_ptr<IncomingBlob> blob, Bandwidth& bandwidth,
            uint64_t seed);
  ~PeerFetch();

  // False: it was added already, was dropped for wrong bytes, rests, or there are kSourcesMax.
  bool add_source(std::unique_ptr<ChunkSource> source);
  void remove_source(std::string_view name);
  bool has_source(std::string_view name) const;
  bool was_dropped(std::string_view name) const { return dropped_.contains(name); }
  bool rests(std::string_view name) const;
  size_t source_count() const { return sources_.size(); }

  // The registry's last error, unless it brought bytes since.
  const std::optional<Error>& registry_error() const { return registry_error_; }
  // run() ends with this error.
  void give_up(Error error) { fail_with(std::move(error)); }

  // Returns when every chunk is there; the caller calls IncomingBlob::finish(). unavailable:
  // nothing came for kFetchSilenceMax. unsupported: the registry knows no ranges. io_failed: the
  // disk. cancelled, deadline_exceeded.
  io::Task<Result<void>> run(io::Call call);

  uint64_t in_flight() const { return in_flight_; }  // Received bytes of incomplete blocks.
  uint64_t registry_bytes() const { return registry_bytes_; }
  uint64_t node_bytes() const { return node_bytes_; }
  io::TimePoint last_progress() const { return last_progress_; }

 private:
  struct Source;
  struct Request;
  io::Task<void> learn(std::shared_ptr<Source> source);  // Asks again and again for its offer.
  io::Task<void> work(std::shared_ptr<Source> source);   // Fetches one chunk after another.
  io::Task<void> watch();
  io::Task<void> fetch_chunk(std::shared_ptr<Source> source, size_t chunk);
  io::Task<Result<void>> receive_chunk(Source& source, size_t chunk, Request& request);
  io::Task<Result<void>> receive_run(Source& source, size_t first, size_t end, Request& request);
  io::Task<Result<std::unique_ptr<ByteStream>>> open_in_time(Source& source, uint64_t offset,
                                                             uint64_t length, Request& request);
  io::Task<Result<void>> take_blocks(std::string& buffer, size_t& block, size_t end,
                                     const io::Call& call);
  Result<void> take_offer(Source& source, const Offer& offer);
  std::optional<size_t> claim(Source& source);
  void judge_failure(Source& source, size_t chunk, const Request& request, const Error& error);
  void drop(Source& source, std::string_view why, bool for_good);
  io::Task<void> tell_doubt(std::shared_ptr<Source> source);
  void start(const std::shared_ptr<Source>& source);
  void note_bytes(Source& source, Request& request, uint64_t count);
  void fail_with(Error error);
  bool over() const { return error_ || plan_.complete() || stop_.cancelled(); }
  io::Task<void> pause(int failures, const io::CancelToken& cancel);

  io::World& world_;
  std::shared_ptr<IncomingBlob> blob_;
  Bandwidth& bandwidth_;
  ChunkPlan plan_;
  std::map<std::string, std::shared_ptr<Source>, std::less<>> sources_;
  std::map<size_t, std::shared_ptr<Request>> requests_;  // By chunk.
  std::set<std::string, std::less<>> dropped_;
  std::map<std::string, io::TimePoint, std::less<>> resting_;  // Until when.
  bool running_ = false;
  uint64_t in_flight_ = 0, since_progress_ = 0;
  uint64_t registry_bytes_ = 0, node_bytes_ = 0;
  io::TimePoint last_progress_{};
  std::optional<Error> error_, registry_error_;
  io::CancelSource stop_;
  io::Event changed_;  // Something to do, or over.
  io::TaskGroup tasks_;
};

}  // namespace om::transfer
