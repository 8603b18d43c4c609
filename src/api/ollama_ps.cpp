#include <algorithm>

#include "api/json_output.h"
#include "api/ollama_handlers.h"
#include "api/ollama_reply.h"

namespace om::api {
namespace {

constexpr int kForeverYears = 293;  // Ollama shows the end of its clock: year 2319.

// A time so far away that clients print "Forever". Our own clock ends before it.
std::string forever(io::WallTime now) {
  std::string text = format_time(now);
  const std::string year = std::to_string(std::stoi(text.substr(0, 4)) + kForeverYears);
  text.replace(0, 4, year);
  if (text.substr(4, 6) == "-02-29") text.replace(4, 6, "-02-28");
  return text;
}

void write_loaded(JsonWriter& writer, const Dependencies& dependencies,
                  const scheduler::LoadedModel& loaded) {
  const io::WallTime now = dependencies.world.clock.wall_now();
  writer.begin_object();
  writer.member("name", std::string_view(loaded.name));
  writer.member("model", std::string_view(loaded.name));
  uint64_t size = loaded.size_bytes;
  for (const scheduler::LoadedPart& part : loaded.parts) size += part.bytes;
  writer.member("size", size);
  writer.member("digest", std::string_view(loaded.manifest.hex()));
  auto name = model::Name::parse(loaded.name);
  auto model = name ? dependencies.store.load(*name)
                    : Result<std::shared_ptr<const store::Model>>(fail(std::move(name).error()));
  // Deleted meanwhile: it runs on, and only its name is known.
  write_details(writer, store::ModelDetails::of(model ? **model : store::Model{}));
  std::string expires = loaded.expires_at ? format_time(*loaded.expires_at) : forever(now);
  if (loaded.stopping) expires = format_time(now - std::chrono::seconds(1));  // "Stopping...".
  writer.member("expires_at", std::string_view(expires));
  // Some of every model stays in main memory: no news where all its layers lie on cards.
  writer.member("size_vram", loaded.on_card ? loaded.size_bytes : loaded.graphics_bytes);
  writer.member("context_length", loaded.context_length);
  if (!loaded.node.empty()) writer.member("node", std::string_view(loaded.node));
  if (!loaded.parts.empty()) {
    writer.key("parts").begin_array();
    for (const scheduler::LoadedPart& part : loaded.parts) {
      writer.begin_object();
      writer.member("node", std::string_view(part.node));
      writer.member("size", part.bytes);
      writer.end_object();
    }
    writer.end_array();
  }
  writer.end_object();
}

}  // namespace

HandlerResult handle_ps(const Dependencies& dependencies, Context& context) {
  std::vector<scheduler::LoadedModel> models = dependencies.scheduler.loaded();
  // A part is told with its model.
  std::erase_if(models, [](const scheduler::LoadedModel& model) {
    return model.loading || !model.part_of.empty();
  });
  std::stable_sort(models.begin(), models.end(),
                   [](const scheduler::LoadedModel& a, const scheduler::LoadedModel& b) {
                     if (!a.expires_at || !b.expires_at) return !a.expires_at && b.expires_at;
                     return *a.expires_at > *b.expires_at;
                   });
  std::string reply;
  JsonWriter writer(reply);
  writer.begin_object().key("models").begin_array();
  for (const scheduler::LoadedModel& model : models) write_loaded(writer, dependencies, model);
  writer.end_array().end_object();
  co_return co_await context.send_json(std::move(reply));
}

HandlerResult handle_loads(const Dependencies& dependencies, Context& context) {
  CO_TRY(std::string wanted, http::percent_decode(context.request.query_value("model")));
  if (!wanted.empty()) {
    CO_TRY(const model::Name name, model::Name::parse(wanted));
    wanted = name.shortest();
  }
  std::string reply;
  JsonWriter writer(reply);
  writer.begin_object().key("loads").begin_array();
  for (const scheduler::LoadedModel& model : dependencies.scheduler.loaded()) {
    if (!model.loading || !model.part_of.empty()) continue;
    if (!wanted.empty() && model.name != wanted) continue;
    writer.begin_object();
    writer.member("model", std::string_view(model.name));
    if (!model.node.empty()) writer.member("node", std::string_view(model.node));
    writer.member("progress", model.load_progress);
    writer.member("size", model.size_bytes);
    writer.end_object();
  }
  writer.end_array().end_object();
  co_return co_await context.send_json(std::move(reply));
}

}  // namespace om::api
