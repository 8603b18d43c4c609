// Foreign servers that answer for us, for people and for `ollamamax backend`:
//
//   GET    /api/v1/backends         how each fares; keys are never told
//   POST   /api/v1/backends         {"url", "key", "kind", "name", "models": []}
//   DELETE /api/v1/backends/<name>
//
// Only this machine may ask: whoever can change them can send others' prompts anywhere.
#include "api/json_input.h"
#include "api/json_output.h"
#include "api/ollama_handlers.h"
#include "cluster/backend_table.h"
#include "cluster/catalogue.h"

namespace om::api {
namespace {

namespace json = boost::json;

constexpr uint64_t kBodyBytesMax = 256 << 10;
constexpr std::chrono::seconds kChangeMax{30}, kFirstCheckMax{5};

json::object describe(const engine::Backend& backend) {
  json::array models;
  for (const engine::ExternalModel& model : backend.models()) models.emplace_back(model.name);
  json::object object{
      {"name", backend.spec().name},       {"url", backend.spec().url},
      {"kind", to_string(backend.kind())}, {"has_key", !backend.spec().key_digest.empty()},
      {"healthy", backend.healthy()},      {"accepting", backend.may_be_asked()},
      {"running", backend.running()},      {"models", std::move(models)}};
  if (backend.error()) object["error"] = backend.error()->what;
  return object;
}

HandlerResult list_backends(const Dependencies& dependencies, Context& context) {
  json::array list;
  for (const auto& backend : dependencies.backends->list()) list.push_back(describe(*backend));
  co_return co_await context.send_json(
      json::serialize(json::object{{"backends", std::move(list)}}));
}

HandlerResult add_backend(const Dependencies& dependencies, Context& context) {
  CO_TRY(const json::value value, co_await read_json(context, kBodyBytesMax));
  ObjectReader reader("Backend", value);
  std::string url, key, kind, name;
  std::vector<std::string> models;
  reader.read("url", url);
  reader.read("key", key);
  reader.read("kind", kind);
  reader.read("name", name);
  reader.read("models", models);
  CO_TRY_VOID(reader.done());
  CO_TRY(engine::BackendSpec spec, engine::make_backend(url, std::move(name)));
  CO_TRY(spec.kind, engine::parse_backend_kind(kind));
  if (models.size() > engine::kBackendModelsMax) {
    co_return fail(Errc::invalid_argument, "at most {} models", engine::kBackendModelsMax);
  }
  spec.models = std::move(models);
  const std::string added = spec.name;
  io::Clock& clock = dependencies.world.clock;
  CO_TRY_VOID(co_await dependencies.backend_table->add(
      std::move(spec), std::move(key), clock.call_within(kChangeMax, context.request.cancel)));
  json::object reply{{"name", added}};
  for (const auto& backend : dependencies.backends->list()) {
    if (backend->spec().name != added) continue;
    // What is wrong with it is told at once; it stays, and may come up later.
    const auto checked =
        co_await backend->check(clock.call_within(kFirstCheckMax, context.request.cancel));
    (void)checked;
    reply = describe(*backend);
    break;
  }
  co_return co_await context.send_json(json::serialize(reply));
}

HandlerResult remove_backend(const Dependencies& dependencies, Context& context) {
  const io::Call call = dependencies.world.clock.call_within(kChangeMax, context.request.cancel);
  CO_TRY_VOID(
      co_await dependencies.backend_table->remove(std::string(context.parameter("name")), call));
  co_return co_await context.send_json("{}");
}

HandlerResult refuse(Context&) {
  co_return fail(Errc::forbidden,
                 "backends are looked after from the node's own machine, under a name or an "
                 "address of its own: ask 127.0.0.1");
}

}  // namespace

std::vector<engine::ExternalModel> external_models(const Dependencies& dependencies,
                                                   const Context& context,
                                                   const std::vector<store::StoredManifest>& own) {
  const bool forwarded = !context.request.headers.get(engine::kForwardedHeader).empty();
  if (!dependencies.backends || forwarded) return {};
  const auto backends = dependencies.backends->list();
  if (backends.empty()) return {};
  std::set<std::string> own_keys;
  for (const store::StoredManifest& stored : own) {
    own_keys.insert(cluster::catalogue_key(stored.name));
  }
  std::map<std::string, engine::ExternalModel> models;
  for (const auto& backend : backends) {
    for (const engine::ExternalModel& model : backend->models()) {
      const auto name = model::Name::parse(model.name);
      if (name && own_keys.contains(cluster::catalogue_key(*name))) continue;
      models.emplace(engine::without_latest(model.name), model);
    }
  }
  std::vector<engine::ExternalModel> list;
  list.reserve(models.size());
  for (auto& [name, model] : models) list.push_back(std::move(model));
  return list;
}

void register_backends(Router& router, const Dependencies& dependencies) {
  using Handle = HandlerResult (*)(const Dependencies& dependencies, Context& context);
  const auto add = [&](std::string_view method, std::string_view pattern, Handle handle) {
    router.add(method, pattern, ErrorShape::ollama, [&dependencies, handle](Context& context) {
      const bool allowed = context.from_operator && dependencies.backend_table;
      return allowed ? handle(dependencies, context) : refuse(context);
    });
  };
  add("GET", "/api/v1/backends", list_backends);
  add("POST", "/api/v1/backends", add_backend);
  add("DELETE", "/api/v1/backends/:name", remove_backend);
}

}  // namespace om::api
