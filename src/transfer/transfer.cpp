#include "transfer/transfer.h"

#include "base/log.h"
#include "io/task_group.h"
#include "transfer/create.h"
#include "transfer/distribution.h"
#include "transfer/download.h"
#include "transfer/pull.h"
#include "transfer/push.h"

namespace om::transfer {
namespace {

constexpr std::chrono::hours kLeftoversEvery{24};

std::shared_ptr<BlobDownload> make_download(std::shared_ptr<Registry> registry, Digest digest,
                                            uint64_t size) {
  return std::make_shared<Download>(std::move(registry), digest, size);
}

class NodeTransfer : public Transfer {
 public:
  NodeTransfer(Context& context, DownloadTable& downloads)
      : context_(context),
        downloads_(downloads),
        uploads_(context.world, context.options.uploads_file),
        tasks_(context.world.executor, context.world.clock) {
    tasks_.spawn(remove_leftovers());
  }

  io::Task<Result<void>> pull(RegistryRequest request, ProgressSink sink, io::Call call) override {
    co_return co_await pull_model(context_, downloads_, std::move(request), std::move(sink),
                                  std::move(call));
  }
  io::Task<Result<void>> push(RegistryRequest request, ProgressSink sink, io::Call call) override {
    co_return co_await push_model(context_, uploads_, downloads_, std::move(request),
                                  std::move(sink), std::move(call));
  }
  io::Task<Result<void>> create(CreateRequest request, ProgressSink sink, io::Call call) override {
    co_return co_await create_model(context_, downloads_, std::move(request), std::move(sink),
                                    std::move(call));
  }
  io::Task<void> stop() override {
    co_await tasks_.stop();
    co_await downloads_.stop();
  }

 private:
  // Of pulls and creates that were given up: no other call would ever look for it.
  io::Task<void> remove_leftovers() {
    const io::Call call{io::kNever, tasks_.token()};
    while (co_await context_.world.clock.sleep_for(kLeftoversEvery, call)) {
      const auto removed = co_await context_.store.remove_leftovers();
      if (!removed) log_warn("leftovers stay", field("error", removed.error()));
    }
  }

  Context& context_;
  DownloadTable& downloads_;
  UploadTable uploads_;
  io::TaskGroup tasks_;
};

struct OwnParts {
  Context context;
  DownloadTable downloads;
};

// Its parts come first: they must be there before NodeTransfer refers to them.
class LoneTransfer final : private OwnParts, public NodeTransfer {
 public:
  LoneTransfer(io::World& world, store::Store& store, http::Client& client, TransferOptions options)
      : OwnParts{{world, store, client, std::move(options)}, {world, make_download}},
        NodeTransfer(context, downloads) {}
};

}  // namespace

std::unique_ptr<Transfer> make_transfer(io::World& world, store::Store& store, http::Client& client,
                                        TransferOptions options) {
  return std::make_unique<LoneTransfer>(world, store, client, std::move(options));
}

std::unique_ptr<Transfer> make_transfer(Distribution& distribution) {
  return std::make_unique<NodeTransfer>(distribution.context(), distribution.downloads());
}

}  // namespace om::transfer
