// Models that nodes keep in memory, for people and for `ollamamax pin`:
//
//   GET    /api/v1/pin              which, where, and whether they are in memory
//   POST   /api/v1/pin              {"model", "pinned": true, "node"}
#include <algorithm>

#include "api/json_input.h"
#include "api/ollama_handlers.h"
#include "generation/model_access.h"

namespace om::api {
namespace {

namespace json = boost::json;

constexpr uint64_t kBodyBytesMax = 1 << 20;
constexpr std::chrono::seconds kChangeMax{30};

// Nodes that have it in memory; this one has no name where it is alone.
std::vector<std::string> nodes_running(const Dependencies& dependencies, const Digest& key) {
  std::vector<std::string> nodes;
  for (const scheduler::LoadedModel& loaded : dependencies.scheduler.loaded()) {
    if (loaded.key != key || loaded.stopping || !loaded.part_of.empty()) continue;
    nodes.push_back(loaded.node.empty() ? dependencies.pins->self() : loaded.node);
  }
  return nodes;
}

// Where it is to be from now on: where it is, else here.
io::Task<Result<std::vector<std::string>>> pin_model(const Dependencies& dependencies,
                                                     std::string asked, std::string node,
                                                     io::Call call) {
  co_await generation::learn(dependencies.store, asked);
  CO_TRY(const auto model,
         generation::find_model(dependencies.store, asked, generation::Purpose::chat));
  std::vector<std::string> nodes;
  if (node.empty()) {
    nodes = nodes_running(dependencies, model->manifest.runner_key());
    if (nodes.empty()) nodes.push_back(dependencies.pins->self());
  } else {
    nodes.push_back(std::move(node));
  }
  std::vector<cluster::Pin> pins;
  pins.reserve(nodes.size());
  for (const std::string& name : nodes) pins.push_back({name, model->name.str()});
  CO_TRY_VOID(co_await dependencies.pins->add(std::move(pins), std::move(call)));
  co_return nodes;
}

// The model itself may be gone.
io::Task<Result<std::vector<std::string>>> unpin_model(const Dependencies& dependencies,
                                                       std::string asked, std::string node,
                                                       io::Call call) {
  if (asked.empty()) co_return fail(Errc::invalid_argument, "model is required");
  CO_TRY(const model::Name name, model::Name::parse(asked));
  std::vector<std::string> nodes;
  std::vector<cluster::Pin> pins = dependencies.pins->list();
  std::erase_if(pins, [&](const cluster::Pin& pin) {
    const auto pinned = model::Name::parse(pin.model);
    return !pinned || !pinned->equal_ignoring_case(name) || (!node.empty() && pin.node != node);
  });
  nodes.reserve(pins.size());
  for (const cluster::Pin& pin : pins) nodes.push_back(pin.node);
  if (nodes.empty()) {
    co_return fail(Errc::not_found, "model '{}' is not pinned{}", asked,
                   node.empty() ? "" : " on node " + node);
  }
  CO_TRY_VOID(co_await dependencies.pins->remove(std::move(pins), std::move(call)));
  co_return nodes;
}

HandlerResult change(const Dependencies& dependencies, Context& context) {
  CO_TRY(const json::value body, co_await read_json(context, kBodyBytesMax));
  ObjectReader reader("Pin", body);
  std::string model, node;
  bool pinned = true;
  reader.read("model", model);
  reader.read("pinned", pinned);
  reader.read("node", node);
  CO_TRY_VOID(reader.done());
  context.model = model;
  const io::Call call = dependencies.world.clock.call_within(kChangeMax, context.request.cancel);
  Result<std::vector<std::string>> nodes;
  if (pinned) {
    nodes = co_await pin_model(dependencies, model, node, call);
  } else {
    nodes = co_await unpin_model(dependencies, model, node, call);
  }
  if (!nodes) co_return fail(std::move(nodes).error());
  const json::object reply{{"pinned", pinned},
                           {"nodes", json::array(nodes->begin(), nodes->end())}};
  co_return co_await context.send_json(json::serialize(reply));
}

std::string_view state_of(const std::vector<scheduler::LoadedModel>& all, std::string_view self,
                          const std::string& node, const std::string& model) {
  for (const scheduler::LoadedModel& loaded : all) {
    const std::string_view where = loaded.node.empty() ? self : std::string_view(loaded.node);
    if (where != node || loaded.name != model || !loaded.part_of.empty()) continue;
    return loaded.loading ? "loading" : "loaded";
  }
  return "not loaded";
}

HandlerResult list(const Dependencies& dependencies, Context& context) {
  const cluster::PinTable& table = *dependencies.pins;
  const std::vector<scheduler::LoadedModel> all = dependencies.scheduler.loaded();
  json::array pins;
  for (const cluster::Pin& pin : table.list()) {
    const auto name = model::Name::parse(pin.model);
    if (!name) continue;
    const std::string model = name->shortest();
    json::object object{{"model", model},
                        {"node", pin.node},
                        {"state", state_of(all, table.self(), pin.node, model)}};
    // Other nodes tell of their own.
    const Error* error =
        pin.node == table.self() ? dependencies.pin_keeper->error(pin.model) : nullptr;
    if (error) object["error"] = error->what;
    pins.push_back(std::move(object));
  }
  co_return co_await context.send_json(json::serialize(json::object{{"pins", std::move(pins)}}));
}

HandlerResult refuse(Context&) { co_return fail(Errc::unsupported, "this node keeps no pins"); }

}  // namespace

void register_pin(Router& router, const Dependencies& dependencies) {
  using Handle = HandlerResult (*)(const Dependencies& dependencies, Context& context);
  const auto add = [&](std::string_view method, std::string_view pattern, Handle handle) {
    router.add(method, pattern, ErrorShape::ollama, [&dependencies, handle](Context& context) {
      return dependencies.pins ? handle(dependencies, context) : refuse(context);
    });
  };
  add("GET", "/api/v1/pin", list);
  add("POST", "/api/v1/pin", change);
}

}  // namespace om::api
