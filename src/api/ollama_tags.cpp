#include "api/json_output.h"
#include "api/ollama_handlers.h"
#include "api/ollama_reply.h"
#include "base/log.h"

namespace om::api {

HandlerResult handle_tags(const Dependencies& dependencies, Context& context) {
  CO_TRY(const auto models, co_await dependencies.store.list());
  const auto all_details = co_await dependencies.store.details(models);
  std::string reply;
  JsonWriter writer(reply);
  writer.begin_object().key("models").begin_array();
  for (size_t i = 0; i < models.size(); i++) {
    const store::StoredManifest& stored = models[i];
    const auto& details = all_details[i];
    if (!details) {
      if (!dependencies.store.find(stored.name)) continue;  // Deleted meanwhile.
      // One damaged model must not hide the others.
      log_warn("model left out of the list", field("model", stored.name.shortest()),
               field("error", details.error()));
      continue;
    }
    const std::string name = stored.name.shortest();
    writer.begin_object();
    writer.member("name", std::string_view(name)).member("model", std::string_view(name));
    writer.member("modified_at", std::string_view(format_time(stored.modified)));
    writer.member("size", stored.manifest.total_size());
    writer.member("digest", std::string_view(stored.digest.hex()));
    write_details(writer, **details);
    write_list(writer, "capabilities", (*details)->capabilities);
    writer.end_object();
  }
  for (const engine::ExternalModel& model : external_models(dependencies, context, models)) {
    writer.begin_object();
    writer.member("name", std::string_view(model.name));
    writer.member("model", std::string_view(model.name));
    writer.member("remote_model", std::string_view(model.name));
    writer.member("modified_at", std::string_view(format_time(model.modified)));
    writer.member("size", model.size);
    writer.member("digest", std::string_view(model.digest));
    write_details(writer, store::ModelDetails::of({}));
    writer.end_object();
  }
  writer.end_array().end_object();
  co_return co_await context.send_json(std::move(reply));
}

}  // namespace om::api
