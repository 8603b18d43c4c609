#include "transfer/download_table.h"

#include "transfer/registry.h"

namespace om::transfer {
namespace {

constexpr int kOthersMax = 3;  // Downloads with other registries that may fail first.

bool are_one(const std::shared_ptr<Registry>& one, const std::shared_ptr<Registry>& other) {
  return one && other && one->url("").str() == other->url("").str();
}

}  // namespace

io::Task<void> BlobDownload::run() {
  auto result = co_await receive();
  result_.emplace(std::move(result));
  finished_.notify_all();
}

uint64_t BlobDownload::completed() const {
  if (result_ && *result_) return size_;
  return std::min(size_, received());
}

// Counts one waiter; the last one to leave an unfinished download cancels it.
class DownloadTable::Ticket {
 public:
  explicit Ticket(std::shared_ptr<BlobDownload> download) : download_(std::move(download)) {
    download_->waiters++;
  }
  ~Ticket() {
    if (--download_->waiters == 0 && !download_->done()) download_->cancel();
  }
  Ticket(const Ticket&) = delete;
  Ticket& operator=(const Ticket&) = delete;

 private:
  std::shared_ptr<BlobDownload> download_;
};

io::Task<void> DownloadTable::run(std::shared_ptr<BlobDownload> download) {
  co_await download->run();
  const auto found = downloads_.find(download->digest());
  if (found != downloads_.end() && found->second == download) downloads_.erase(found);
}

io::Task<std::shared_ptr<BlobDownload>> DownloadTable::join(std::shared_ptr<Registry> registry,
                                                            Digest digest, uint64_t size) {
  while (true) {
    const auto found = downloads_.find(digest);
    if (found == downloads_.end()) break;
    const auto download = found->second;
    if (!download->cancelled() && !download->done()) co_return download;
    // It is on its way out and still has the file: a moment.
    if (!download->done()) (void)co_await download->finished().wait();
    const auto again = downloads_.find(digest);
    if (again != downloads_.end() && again->second == download) downloads_.erase(again);
  }
  auto download = make_(registry, digest, size);
  download->registry = std::move(registry);
  downloads_.emplace(digest, download);
  tasks_.spawn(run(download));
  co_return download;
}

io::Task<Result<void>> DownloadTable::fetch(std::shared_ptr<Registry> registry, Digest digest,
                                            uint64_t size, const ProgressSink& sink,
                                            io::Call call) {
  for (int i = 0;; i++) {
    const auto download = co_await join(registry, digest, size);
    auto done = co_await follow(download, sink, call);
    const bool failed = download->done() && !download->result() && !call.cancel.cancelled();
    if (!failed || !registry || are_one(download->registry, registry) || i == kOthersMax) {
      co_return done;
    }
  }
}

io::Task<Result<void>> DownloadTable::follow(std::shared_ptr<BlobDownload> download,
                                             const ProgressSink& sink, io::Call call) {
  constexpr std::chrono::milliseconds kInterval{60};
  const Ticket ticket(download);
  while (true) {
    Progress progress;
    progress.status = "pulling " + download->digest().hex().substr(0, 12);
    progress.digest = download->digest();
    progress.total = download->size();
    progress.completed = download->completed();
    CO_TRY_VOID(co_await sink(std::move(progress)));
    if (download->done()) co_return download->result();
    const io::Call tick = world_.clock.call_within(kInterval, call);
    const auto waited = co_await download->finished().wait(tick);
    if (!waited && waited.error().code == Errc::cancelled) co_return fail(waited.error());
    if (world_.clock.now() >= call.deadline)
      co_return fail(Errc::deadline_exceeded, "pull timed out");
  }
}

io::Task<void> DownloadTable::stop() {
  for (const auto& [digest, download] : downloads_) download->cancel();
  co_await tasks_.stop();
}

}  // namespace om::transfer
