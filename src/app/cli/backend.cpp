#include "app/cli/backend.h"

#include "app/cli/terminal.h"
#include "base/json_fields.h"

namespace om::app {

namespace json = boost::json;

namespace {

std::string state_of(const JsonFields& backend) {
  bool healthy = false, accepting = false;
  backend.read("healthy", healthy);
  backend.read("accepting", accepting);
  if (!healthy) return backend.text("error");
  return accepting ? "ready" : "resting after failures";
}

std::string models_of(const JsonFields& backend) {
  std::string text;
  const json::array* models = backend.array("models");
  if (!models) return text;
  for (const json::value& model : *models) {
    if (!model.is_string()) continue;
    if (!text.empty()) text += ", ";
    text += std::string_view(model.get_string());
  }
  return text;
}

std::vector<std::string> row_of(const json::object& object) {
  const JsonFields backend(object);
  int running = 0;
  backend.read("running", running);
  return {backend.text("name"), backend.text("kind"),    backend.text("url"),
          state_of(backend),    std::to_string(running), models_of(backend)};
}

}  // namespace

CommandTask backend_add_command(Cli& cli, BackendOptions options) {
  CO_TRY(options.key, given_secret(std::move(options.key), "key"));
  json::array models;
  for (const std::string& model : options.models) models.emplace_back(model);
  json::object body{{"url", options.url}, {"models", std::move(models)}};
  if (!options.key.empty()) body["key"] = options.key;
  if (!options.kind.empty()) body["kind"] = options.kind;
  if (!options.name.empty()) body["name"] = options.name;
  CO_TRY(const json::value reply, co_await cli.api.post("/api/v1/backends", std::move(body)));
  if (cli.json || !reply.is_object()) {
    print_json(reply);
    co_return Result<void>{};
  }
  const JsonFields backend(reply.get_object());
  bool healthy = false;
  backend.read("healthy", healthy);
  print(fmt::format("added {}\n", backend.text("name")));
  if (healthy) {
    print(fmt::format("models: {}\n", models_of(backend)));
  } else {
    print(fmt::format("it does not answer yet: {}\n", backend.text("error")));
  }
  co_return Result<void>{};
}

CommandTask backend_list_command(Cli& cli) {
  CO_TRY(const json::value reply, co_await cli.api.get("/api/v1/backends"));
  if (cli.json || !reply.is_object()) {
    print_json(reply);
    co_return Result<void>{};
  }
  std::vector<std::vector<std::string>> rows;
  if (const json::array* list = JsonFields(reply.get_object()).array("backends")) {
    for (const json::value& backend : *list) {
      if (backend.is_object()) rows.push_back(row_of(backend.get_object()));
    }
  }
  const std::vector<std::string> header{"NAME", "KIND", "URL", "STATE", "RUNNING", "MODELS"};
  print(format_table(header, rows));
  co_return Result<void>{};
}

CommandTask backend_remove_command(Cli& cli, BackendOptions options) {
  CO_TRY(std::string path, path_to("/api/v1/backends/", options.name));
  CO_TRY_VOID(co_await cli.api.remove(std::move(path), {}));
  print_done(cli, fmt::format("removed {}\n", options.name));
  co_return Result<void>{};
}

}  // namespace om::app
