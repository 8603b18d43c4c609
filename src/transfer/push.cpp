#include "transfer/push.h"

#include "base/log.h"
#include "transfer/upload.h"

namespace om::transfer {

io::Task<Result<void>> push_model(Context& context, RegistryRequest request, ProgressSink sink,
                                  io::Call call) {
  CO_TRY_VOID(co_await report(sink, "retrieving manifest"));
  CO_TRY(const auto stored, context.store.find(request.name));
  CO_TRY(std::string bytes, context.store.read_manifest(request.name));
  CO_TRY(const auto registry, Registry::open(context, request.name, request.insecure));

  std::vector<Digest> digests{stored.manifest.config.digest};
  std::vector<model::Layer> layers = stored.manifest.layers;
  layers.push_back(stored.manifest.config);
  for (const model::Layer& layer : layers) digests.push_back(layer.digest);
  CO_TRY(const auto hold, co_await context.store.hold(std::move(digests)));
  for (const model::Layer& layer : layers) {
    CO_TRY_VOID(co_await upload_layer(*registry, layer, sink, call));
  }
  CO_TRY_VOID(co_await report(sink, "pushing manifest"));
  CO_TRY_VOID(co_await registry->put_manifest(std::move(bytes), call));
  log_info("pushed", field("model", request.name.shortest()));
  co_return co_await report(sink, "success");
}

}  // namespace om::transfer
