#include "api/ollama_handlers.h"
#include "api/ollama_request.h"
#include "base/log.h"

namespace om::api {

HandlerResult handle_copy(const Dependencies& dependencies, Context& context) {
  CO_TRY(const auto body, co_await read_json(context, dependencies.settings.body_bytes_max));
  ObjectReader reader("CopyRequest", body);
  std::string source, destination;
  reader.read("source", source);
  reader.read("destination", destination);
  CO_TRY_VOID(reader.done());
  context.model = source;
  const auto from = model::Name::parse(source);
  if (!from) co_return fail(Errc::invalid_argument, "source \"{}\" is invalid", source);
  const auto to = model::Name::parse(destination);
  if (!to) co_return fail(Errc::invalid_argument, "destination \"{}\" is invalid", destination);
  auto copied = co_await dependencies.store.copy(*from, *to);
  if (!copied) {
    Error error = std::move(copied).error();
    if (error.code == Errc::not_found) error.what = fmt::format("model \"{}\" not found", source);
    co_return fail(std::move(error));
  }
  co_return co_await context.send(200, {}, {});
}

HandlerResult handle_delete(const Dependencies& dependencies, Context& context) {
  CO_TRY(const auto body, co_await read_json(context, dependencies.settings.body_bytes_max));
  ObjectReader reader("DeleteRequest", body);
  const std::string model = read_model_name(reader);
  CO_TRY_VOID(reader.done());
  context.model = model;
  if (model.empty()) co_return fail(Errc::invalid_argument, "model is required");
  const auto name = model::Name::parse(model);
  if (!name) co_return fail(Errc::invalid_argument, "name \"{}\" is invalid", model);
  auto removed = co_await dependencies.store.remove(*name);
  if (!removed) {
    Error error = std::move(removed).error();
    if (error.code == Errc::not_found) error.what = fmt::format("model '{}' not found", model);
    co_return fail(std::move(error));
  }
  if (dependencies.pins) {
    const auto unpinned = co_await dependencies.pins->remove_model(name->str(), context.call());
    if (!unpinned) {
      log_warn("the pin of a deleted model stays", field("model", name->str()),
               field("error", unpinned.error()));
    }
  }
  co_return co_await context.send(200, {}, {});
}

}  // namespace om::api
