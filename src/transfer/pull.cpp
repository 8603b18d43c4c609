#include "transfer/pull.h"

#include <set>

#include "base/log.h"
#include "transfer/held_model.h"
#include "transfer/registry.h"
#include "transfer/replicas/catalogue.h"

namespace om::transfer {
namespace {

// What the model named before and the new manifest does not.
std::vector<Digest> no_longer_named(const std::optional<store::StoredManifest>& before,
                                    const model::Manifest& after) {
  if (!before) return {};
  std::vector<Digest> unused = before->manifest.digests();
  const std::vector<Digest> kept = after.digests();
  const std::set<Digest> named(kept.begin(), kept.end());
  std::erase_if(unused, [&named](const Digest& blob) { return named.contains(blob); });
  return unused;
}

io::Task<Result<void>> fetch_layers(Context& context, DownloadTable& downloads,
                                    const std::shared_ptr<Registry>& registry,
                                    const model::Manifest& manifest, const ProgressSink& sink,
                                    io::Call call) {
  for (const model::Layer& layer : manifest.blobs()) {
    if (co_await has_file(context, layer)) {
      Progress progress;
      progress.status = "pulling " + layer.digest.hex().substr(0, 12);
      progress.digest = layer.digest;
      progress.total = progress.completed = layer.size;
      CO_TRY_VOID(co_await sink(std::move(progress)));
      continue;
    }
    CO_TRY_VOID(co_await downloads.fetch(registry, layer.digest, layer.size, sink, call));
  }
  co_return Result<void>{};
}

io::Task<Result<model::Manifest>> fetch_manifest(Registry& registry, std::string& bytes,
                                                 io::Call call) {
  auto fetched = co_await registry.get_manifest(call);
  if (!fetched) co_return fail(annotate(fetched.error(), "pull model manifest"));
  bytes = std::move(*fetched);
  auto manifest = model::Manifest::parse(bytes);
  if (!manifest) co_return fail(annotate(manifest.error(), "pull model manifest"));
  co_return std::move(*manifest);
}

}  // namespace

io::Task<Result<void>> pull_model(Context& context, DownloadTable& downloads,
                                  RegistryRequest request, ProgressSink sink, io::Call call) {
  CO_TRY_VOID(co_await report(sink, "pulling manifest"));
  auto opened = Registry::open(context, request.name, request.insecure);
  if (!opened) co_return fail(annotate(opened.error(), "pull model manifest"));
  const std::shared_ptr<Registry>& registry = *opened;
  std::string bytes;
  CO_TRY(const auto manifest, co_await fetch_manifest(*registry, bytes, call));

  CO_TRY(auto hold, co_await context.store.hold(manifest.digests()));
  CO_TRY_VOID(co_await fetch_layers(context, downloads, registry, manifest, sink, call));
  // Each blob was hashed before it got its name.
  CO_TRY_VOID(co_await report(sink, "verifying sha256 digest"));
  CO_TRY_VOID(co_await report(sink, "writing manifest"));
  std::optional<store::StoredManifest> before;
  if (auto found = context.store.find(request.name)) before = std::move(*found);
  if (context.catalogue != nullptr) {
    CO_TRY_VOID(co_await context.catalogue->put(request.name, bytes, call));
  }
  CO_TRY_VOID(co_await context.store.put_manifest(request.name, std::move(bytes)));
  hold.reset();
  auto unused = no_longer_named(before, manifest);
  if (context.options.prune && !unused.empty()) {
    CO_TRY_VOID(co_await report(sink, "removing unused layers"));
    // The model is here; that old bytes stay is worth a line, not a failed pull.
    if (const auto removed = co_await context.store.remove_unreferenced(std::move(unused));
        !removed) {
      log_warn("unused layers are kept", field("error", removed.error()));
    }
  }
  log_info("pulled", field("model", request.name.shortest()),
           field("bytes", manifest.total_size()));
  co_return co_await report(sink, "success");
}

}  // namespace om::transfer
