#include "transfer/transfer.h"

#include "transfer/create.h"
#include "transfer/download.h"
#include "transfer/pull.h"
#include "transfer/push.h"

namespace om::transfer {
namespace {

class NodeTransfer final : public Transfer {
 public:
  NodeTransfer(io::World& world, store::Store& store, http::Client& client, TransferOptions options)
      : context_{world, store, client, std::move(options)}, downloads_(world) {}

  io::Task<Result<void>> pull(RegistryRequest request, ProgressSink sink, io::Call call) override {
    co_return co_await pull_model(context_, downloads_, std::move(request), std::move(sink),
                                  std::move(call));
  }
  io::Task<Result<void>> push(RegistryRequest request, ProgressSink sink, io::Call call) override {
    co_return co_await push_model(context_, std::move(request), std::move(sink), std::move(call));
  }
  io::Task<Result<void>> create(CreateRequest request, ProgressSink sink, io::Call call) override {
    co_return co_await create_model(context_, downloads_, std::move(request), std::move(sink),
                                    std::move(call));
  }
  io::Task<void> stop() override { co_await downloads_.stop(); }

 private:
  Context context_;
  DownloadTable downloads_;
};

}  // namespace

std::unique_ptr<Transfer> make_transfer(io::World& world, store::Store& store, http::Client& client,
                                        TransferOptions options) {
  return std::make_unique<NodeTransfer>(world, store, client, std::move(options));
}

}  // namespace om::transfer
