// /v1/models and /v1/models/*model.
#include "api/json_output.h"
#include "api/openai_handlers.h"
#include "io/wall_time.h"
#include "model/name.h"

namespace om::api {

namespace {

bool asked_by_anthropic(const Context& context) {
  return context.request.headers.has("anthropic-version");
}

void write_openai_model(JsonWriter& writer, const store::StoredManifest& stored) {
  writer.begin_object();
  writer.member("id", stored.name.shortest());
  writer.member("object", "model");
  writer.member("created", io::unix_seconds(stored.modified));
  writer.member("owned_by", stored.name.name_space);
  writer.end_object();
}

void write_anthropic_model(JsonWriter& writer, const store::StoredManifest& stored) {
  writer.begin_object();
  writer.member("type", "model");
  writer.member("id", stored.name.shortest());
  writer.member("display_name", stored.name.shortest());
  writer.member("created_at", format_time(stored.modified));
  writer.member("lifecycle", "active");
  writer.end_object();
}

void write_external_model(JsonWriter& writer, const engine::ExternalModel& model, bool anthropic) {
  writer.begin_object();
  writer.member("id", std::string_view(model.name));
  if (anthropic) {
    writer.member("type", "model");
    writer.member("display_name", std::string_view(model.name));
    writer.member("created_at", format_time(model.modified));
    writer.member("lifecycle", "active");
  } else {
    writer.member("object", "model");
    writer.member("created", io::unix_seconds(model.modified));
    writer.member("owned_by", "backend");
  }
  writer.end_object();
}

void write_end_id(JsonWriter& writer, std::string_view key, const std::string& id) {
  writer.key(key);
  if (id.empty()) {
    writer.null();
  } else {
    writer.value(std::string_view(id));
  }
}

}  // namespace

io::Task<Result<void>> list_models(const Dependencies& node, Context& context) {
  bool anthropic = asked_by_anthropic(context);
  if (anthropic) context.shape = ErrorShape::anthropic;
  CO_TRY(std::vector<store::StoredManifest> models, co_await node.store.list());
  std::string body;
  JsonWriter writer(body);
  writer.begin_object();
  if (!anthropic) writer.member("object", "list");
  writer.key("data").begin_array();
  std::string first, last;
  const auto note = [&first, &last](const std::string& id) {
    if (first.empty()) first = id;
    last = id;
  };
  for (const store::StoredManifest& stored : models) {
    note(stored.name.shortest());
    if (anthropic) {
      write_anthropic_model(writer, stored);
    } else {
      write_openai_model(writer, stored);
    }
  }
  for (const engine::ExternalModel& model : external_models(node, context, models)) {
    note(model.name);
    write_external_model(writer, model, anthropic);
  }
  writer.end_array();
  if (anthropic) {
    writer.member("has_more", false);
    write_end_id(writer, "first_id", first);
    write_end_id(writer, "last_id", last);
  }
  writer.end_object();
  co_return co_await context.send_json(std::move(body));
}

io::Task<Result<void>> show_model(const Dependencies& node, Context& context) {
  bool anthropic = asked_by_anthropic(context);
  if (anthropic) context.shape = ErrorShape::anthropic;
  std::string wanted(context.parameter("model"));
  context.model = wanted;
  Result<model::Name> name = model::Name::parse(wanted);
  if (!name) co_return fail(Errc::not_found, "model '{}' not found", wanted);
  co_await node.store.learn(*name);
  Result<store::StoredManifest> stored = node.store.find(*name);
  if (!stored && stored.error().code == Errc::not_found) {
    for (const engine::ExternalModel& model : external_models(node, context, {})) {
      if (model.name != wanted) continue;
      std::string told;
      JsonWriter external(told);
      write_external_model(external, model, anthropic);
      co_return co_await context.send_json(std::move(told));
    }
    co_return fail(Errc::not_found, "model '{}' not found", wanted);
  }
  if (!stored) co_return fail(std::move(stored.error()));
  std::string body;
  JsonWriter writer(body);
  if (anthropic) {
    write_anthropic_model(writer, *stored);
  } else {
    write_openai_model(writer, *stored);
  }
  co_return co_await context.send_json(std::move(body));
}

}  // namespace om::api
