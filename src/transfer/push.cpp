#include "transfer/push.h"

#include <algorithm>

#include "base/log.h"
#include "io/task_group.h"
#include "transfer/held_model.h"
#include "transfer/upload.h"

namespace om::transfer {
namespace {

constexpr std::chrono::milliseconds kTellInterval{60};

// The layers of one push. run() once.
class LayerPush {
 public:
  LayerPush(Context& context, UploadTable& uploads, Registry& registry,
            const std::vector<model::Layer>& layers)
      : world_(context.world),
        uploads_(uploads),
        registry_(registry),
        ended_(world_.clock),
        tasks_(world_.executor, world_.clock) {
    for (const model::Layer& layer : layers) items_.push_back({.layer = layer});
    for (Item& item : items_) queue_.push_back(&item);
    std::ranges::stable_sort(queue_, {}, [](const Item* item) { return item->layer.size; });
  }

  io::Task<Result<void>> run(const ProgressSink& sink, io::Call call) {
    add_stream();
    auto told = co_await tell(sink, call);
    cancel_.cancel();
    co_await tasks_.wait();
    // The first error ended the rest, which then failed for that reason only.
    if (error_ && told) told = fail(*error_);
    co_return told;
  }

 private:
  struct Item {
    model::Layer layer;
    UploadProgress progress;
    std::optional<uint64_t> told;
  };

  // The smallest goes alone: what the registry does with its parts is known for the others.
  void add_stream() {
    streams_++;
    tasks_.spawn(send_layers());
  }

  io::Task<void> send_layers() {
    while (next_ < queue_.size() && !cancel_.cancelled()) {
      Item& item = *queue_[next_++];
      const auto sent = co_await upload_layer(registry_, uploads_, item.layer, item.progress,
                                              {io::kNever, cancel_.token()});
      if (!sent) {
        if (!error_) error_ = sent.error();
        cancel_.cancel();
        break;
      }
      item.progress.restart_at(item.layer.size);
      while (streams_ < std::min(kPushStreamsMax, 1 + queue_.size() - next_)) add_stream();
    }
    if (--streams_ == 0) ended_.notify_all();
  }

  // Until all are sent, one failed, or nobody listens any more.
  io::Task<Result<void>> tell(const ProgressSink& sink, io::Call call) {
    while (true) {
      const bool is_over = streams_ == 0 || error_;
      for (Item& item : items_) CO_TRY_VOID(co_await tell_of(item, sink));
      if (is_over) co_return Result<void>{};
      const io::Call tick = world_.clock.call_within(kTellInterval, call);
      const auto waited = co_await ended_.wait(tick);
      if (!waited && waited.error().code == Errc::cancelled) co_return fail(waited.error());
      if (world_.clock.now() >= call.deadline) {
        co_return fail(Errc::deadline_exceeded, "push timed out");
      }
    }
  }

  io::Task<Result<void>> tell_of(Item& item, const ProgressSink& sink) {
    const uint64_t completed = std::min(item.progress.completed(), item.layer.size);
    if (item.told == completed) co_return Result<void>{};
    item.told = completed;
    Progress progress;
    progress.status = "pushing " + item.layer.digest.hex().substr(0, 12);
    progress.digest = item.layer.digest;
    progress.total = item.layer.size;
    progress.completed = completed;
    co_return co_await sink(std::move(progress));
  }

  io::World& world_;
  UploadTable& uploads_;
  Registry& registry_;
  std::vector<Item> items_;   // In the manifest's order, as they are told of.
  std::vector<Item*> queue_;  // The smallest first.
  size_t next_ = 0, streams_ = 0;
  std::optional<Error> error_;
  io::CancelSource cancel_;
  io::Event ended_;
  io::TaskGroup tasks_;
};

io::Task<Result<void>> push_held(Context& context, UploadTable& uploads, DownloadTable& downloads,
                                 const RegistryRequest& request, HeldModel& model,
                                 const ProgressSink& sink, io::Call call) {
  CO_TRY(const auto registry, Registry::open(context, request.name, request.insecure));
  CO_TRY_VOID(co_await hold_files(context, downloads, model, sink, call));
  LayerPush layers(context, uploads, *registry, model.manifest.blobs());
  CO_TRY_VOID(co_await layers.run(sink, call));
  CO_TRY_VOID(co_await report(sink, "pushing manifest"));
  CO_TRY_VOID(co_await registry->put_manifest(model.bytes, call));
  log_info("pushed", field("model", request.name.shortest()));
  co_return co_await report(sink, "success");
}

}  // namespace

io::Task<Result<void>> push_model(Context& context, UploadTable& uploads, DownloadTable& downloads,
                                  RegistryRequest request, ProgressSink sink, io::Call call) {
  CO_TRY_VOID(co_await report(sink, "retrieving manifest"));
  CO_TRY(auto model, co_await find_model(context, request.name, call));
  auto pushed =
      co_await push_held(context, uploads, downloads, request, model, sink, std::move(call));
  co_await release_model(context, std::move(model));
  co_return pushed;
}

}  // namespace om::transfer
