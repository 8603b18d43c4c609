#include "transfer/held_model.h"

#include "base/log.h"
#include "store/model_loader.h"
#include "transfer/blob_holders.h"
#include "transfer/metrics.h"
#include "transfer/registry.h"
#include "transfer/replicas/catalogue.h"
#include "transfer/replicas/replicas.h"

namespace om::transfer {
namespace {

io::Task<Result<void>> fetch_missing(Context& context, DownloadTable& downloads, HeldModel& held,
                                     const ProgressSink& sink, io::Call call) {
  // By their digests, and only where no node has them any more: as copies are made.
  std::shared_ptr<Registry> registry;
  if (auto opened = Registry::open(context, held.name, false)) registry = std::move(*opened);
  bool waited = context.links == nullptr;
  for (const model::Layer& file : held.manifest.blobs()) {
    if (co_await has_file(context, file)) continue;
    // Else the registry is asked for what was made on another node a moment ago.
    if (!waited) (void)co_await wait_for_holders(context.world, *context.links, file.digest, call);
    waited = true;
    CO_TRY_VOID(co_await downloads.fetch(registry, file.digest, file.size, sink, call));
    held.fetched.push_back(file.digest);
  }
  co_return Result<void>{};
}

}  // namespace

io::Task<bool> has_file(Context& context, model::Layer file) {
  store::Store& store = context.store;
  const auto present = store.blob_size(file.digest);
  if (!present || *present != file.size) co_return false;
  if (file.size > store::kTextBytesMax) co_return true;
  // Twice, as the scrubber does.
  auto read = [&store, &file]() -> Result<void> {
    if (store.read_blob(file.digest, file.size)) return {};
    TRY_VOID(store.read_blob(file.digest, file.size));
    return {};
  };
  const auto done = co_await context.world.workers.run(read);
  if (done) co_return true;
  const auto put_aside = co_await store.quarantine_blob(file.digest);
  if (put_aside) {
    rotten_blobs.add();
    log_error("blob has rotted and is put aside", field("blob", file.digest),
              field("error", done.error()));
  } else if (put_aside.error().code != Errc::not_found) {
    log_warn("blob not put aside", field("error", put_aside.error()));
  }
  // In a folder that may only be read it is. Somebody else may have been faster, too.
  co_return store.blob_size(file.digest).has_value();
}

io::Task<Result<HeldModel>> find_model(Context& context, model::Name name, io::Call call) {
  HeldModel found;
  if (context.catalogue != nullptr) {
    const io::TimePoint until = context.world.clock.now() + store::Store::kLearnMax;
    const io::Call asked{std::min(call.deadline, until), call.cancel};
    const auto refreshed = co_await context.catalogue->refresh(name, asked);
    if (!refreshed) log_info("a model as it was known last", field("error", refreshed.error()));
    auto known = context.catalogue->find(name);
    if (!known && known.error().code != Errc::not_found) co_return fail(known.error());
    if (known) {
      found.name = std::move(known->name);
      found.manifest = std::move(known->manifest);
      found.bytes = std::move(known->bytes);
      found.is_agreed = true;
      co_return found;
    }
  }
  CO_TRY(auto stored, context.store.find(name));
  CO_TRY(found.bytes, context.store.read_manifest(name));
  found.name = std::move(stored.name);
  found.manifest = std::move(stored.manifest);
  co_return found;
}

io::Task<Result<void>> hold_files(Context& context, DownloadTable& downloads, HeldModel& model,
                                  const ProgressSink& sink, io::Call call) {
  CO_TRY(model.hold, co_await context.store.hold(model.manifest.digests()));
  if (!model.is_agreed) co_return Result<void>{};
  co_return co_await fetch_missing(context, downloads, model, sink, std::move(call));
}

io::Task<void> release_model(Context& context, HeldModel model) {
  model.hold.reset();
  if (model.fetched.empty()) co_return;
  const auto removed = co_await context.store.remove_unreferenced(std::move(model.fetched));
  if (!removed) log_warn("fetched files are kept", field("error", removed.error()));
}

}  // namespace om::transfer
