// list, ps, stop, cp, rm and version.
#include <cmath>
#include <cstdio>

#include "app/cli/command.h"
#include "app/cli/terminal.h"
#include "app/revision.h"
#include "base/duration.h"
#include "base/json_fields.h"
#include "base/strings.h"
#include "base/version.h"
#include "io/wall_time.h"

namespace om::app {

namespace json = boost::json;

void print(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

void print_done(const Cli& cli, std::string_view line) {
  print(cli.json ? "{\"status\":\"success\"}\n" : line);
}

void print_json(const json::value& value) { print(json::serialize(value) + "\n"); }

std::string text_of(const json::object& object, std::string_view key) {
  return JsonFields(object).text(key);
}

uint64_t number_of(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr || !value->is_number()) return 0;
  boost::system::error_code error;
  const auto number = value->to_number<uint64_t>(error);
  return error ? 0 : number;
}

namespace {

std::string short_id(const json::object& model) {
  std::string digest = text_of(model, "digest");
  if (digest.starts_with("sha256:")) digest.erase(0, 7);
  return digest.substr(0, 12);
}

std::string when(Cli& cli, const json::object& model, std::string_view key) {
  const auto time = io::parse_rfc3339(text_of(model, key));
  if (!time) return "Never";
  // What another server has, which did not say since when.
  if (*time == io::WallTime{}) return "-";
  return human_time(*time, cli.world().clock.wall_now());
}

Result<json::array> models_of(const json::value& reply) {
  if (!reply.is_object()) return fail(Errc::corrupt, "the server's answer is no object");
  const json::value* models = reply.as_object().if_contains("models");
  if (models == nullptr || models->is_null()) return json::array{};
  if (!models->is_array()) return fail(Errc::corrupt, "the server's answer has no model list");
  return models->as_array();
}

// Those whose names begin so.
void keep_named(json::array& models, const std::string& prefix) {
  const auto is_other = [&prefix](const json::value& entry) {
    return !entry.is_object() || !istarts_with(text_of(entry.as_object(), "name"), prefix);
  };
  models.erase(std::remove_if(models.begin(), models.end(), is_other), models.end());
}

// How much of a model lies in graphics memory, as Ollama says it.
std::string processor(const json::object& model) {
  const uint64_t total = number_of(model, "size"), gpu = number_of(model, "size_vram");
  if (gpu == 0) return "100% CPU";
  if (gpu >= total) return "100% GPU";
  const auto cpu_share = static_cast<int>(
      std::lround(100.0 * static_cast<double>(total - gpu) / static_cast<double>(total)));
  return fmt::format("{}%/{}% CPU/GPU", cpu_share, 100 - cpu_share);
}

}  // namespace

CommandTask list_command(Cli& cli, std::string prefix) {
  CO_TRY(const json::value reply, co_await cli.api.get("/api/tags"));
  CO_TRY(json::array models, models_of(reply));
  keep_named(models, prefix);
  if (cli.json) {
    print_json(json::object{{"models", std::move(models)}});
    co_return Result<void>{};
  }
  std::vector<std::vector<std::string>> rows;
  for (const json::value& entry : models) {
    const json::object& model = entry.as_object();
    const uint64_t size = number_of(model, "size");
    const bool elsewhere = size == 0 && model.contains("remote_model");
    rows.push_back({text_of(model, "name"), short_id(model), elsewhere ? "-" : format_size(size),
                    when(cli, model, "modified_at")});
  }
  const std::vector<std::string> header{"NAME", "ID", "SIZE", "MODIFIED"};
  print(format_table(header, rows));
  co_return Result<void>{};
}

CommandTask ps_command(Cli& cli, std::string prefix) {
  CO_TRY(const json::value reply, co_await cli.api.get("/api/ps"));
  CO_TRY(json::array models, models_of(reply));
  keep_named(models, prefix);
  if (cli.json) {
    print_json(json::object{{"models", std::move(models)}});
    co_return Result<void>{};
  }
  // Ollama's columns, and in a cluster one more.
  const bool in_cluster = std::ranges::any_of(models, [](const json::value& entry) {
    return entry.is_object() && entry.as_object().contains("node");
  });
  std::vector<std::vector<std::string>> rows;
  for (const json::value& entry : models) {
    if (!entry.is_object()) continue;
    const json::object& model = entry.as_object();
    std::string until = when(cli, model, "expires_at");
    if (until.ends_with(" ago")) until = "Stopping...";
    rows.push_back({text_of(model, "name"), short_id(model), format_size(number_of(model, "size")),
                    processor(model), std::to_string(number_of(model, "context_length")), until});
    if (in_cluster) rows.back().push_back(text_of(model, "node"));
  }
  std::vector<std::string> header{"NAME", "ID", "SIZE", "PROCESSOR", "CONTEXT", "UNTIL"};
  if (in_cluster) header.emplace_back("NODE");
  print(format_table(header, rows));
  co_return Result<void>{};
}

CommandTask stop_command(Cli& cli, std::string model) {
  json::object body;
  body["model"] = model;
  body["keep_alive"] = 0;
  body["stream"] = false;
  const auto stopped = co_await cli.api.post("/api/generate", std::move(body));
  if (!stopped && stopped.error().code == Errc::not_found) {
    co_return fail(Errc::not_found, "couldn't find model \"{}\" to stop", model);
  }
  if (!stopped) co_return fail(stopped.error());
  if (cli.json) print_json(*stopped);
  co_return Result<void>{};
}

CommandTask copy_command(Cli& cli, std::string from, std::string to) {
  json::object body;
  body["source"] = from;
  body["destination"] = to;
  CO_TRY(const json::value reply, co_await cli.api.post("/api/copy", std::move(body)));
  print_done(cli, fmt::format("copied '{}' to '{}'\n", from, to));
  co_return Result<void>{};
}

CommandTask remove_command(Cli& cli, std::vector<std::string> models) {
  for (const std::string& model : models) {
    // A loaded model is unloaded first; one that is not, or is no text model, is simply removed.
    json::object unload;
    unload["model"] = model;
    unload["keep_alive"] = 0;
    unload["stream"] = false;
    const auto unloaded = co_await cli.api.post("/api/generate", std::move(unload));
    if (!unloaded && unloaded.error().code == Errc::unavailable) co_return fail(unloaded.error());
    json::object body;
    body["model"] = model;
    CO_TRY_VOID(co_await cli.api.remove("/api/delete", std::move(body)));
    print_done(cli, fmt::format("deleted '{}'\n", model));
  }
  co_return Result<void>{};
}

CommandTask version_command(Cli& cli) {
  const auto reply = co_await cli.api.get("/api/version");
  std::string server;
  if (reply && reply->is_object()) {
    server = text_of(reply->as_object(), "ollamamax");
    if (server.empty()) server = text_of(reply->as_object(), "version");  // Of an Ollama.
  }
  if (cli.json) {
    json::object versions;
    versions["client"] = kVersion;
    versions["revision"] = kRevision;  // The client's.
    versions["server"] = server.empty() ? json::value(nullptr) : json::value(server);
    print_json(versions);
    co_return Result<void>{};
  }
  if (server.empty()) {
    print("Warning: could not connect to a running OllamaMax instance\n");
    print(fmt::format("Warning: client version is {}\n", kVersion));
    co_return Result<void>{};
  }
  print(fmt::format("ollamamax version is {}\n", server));
  if (server != kVersion) {
    print(fmt::format("Warning: client version is {}\n", kVersion));
  }
  co_return Result<void>{};
}

}  // namespace om::app
