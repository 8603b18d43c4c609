// A whole node behind Ollama's routes, with the real generation over scripted engines, asked
// through Api as the server would ask it.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "api/api.h"
#include "api/openai_for_test.h"
#include "generation/scripted_for_test.h"

namespace om::api {

// Moves models as told.
class ScriptedTransfer final : public transfer::Transfer {
 public:
  std::vector<transfer::Progress> progress;
  std::optional<Error> failure;  // After the progress.
  std::vector<transfer::CreateRequest> created;
  std::vector<transfer::RegistryRequest> moved;

  io::Task<Result<void>> pull(transfer::RegistryRequest request, transfer::ProgressSink sink,
                              io::Call) override {
    moved.push_back(std::move(request));
    return act(std::move(sink));
  }
  io::Task<Result<void>> push(transfer::RegistryRequest request, transfer::ProgressSink sink,
                              io::Call) override {
    moved.push_back(std::move(request));
    return act(std::move(sink));
  }
  io::Task<Result<void>> create(transfer::CreateRequest request, transfer::ProgressSink sink,
                                io::Call) override {
    created.push_back(std::move(request));
    return act(std::move(sink));
  }
  io::Task<void> stop() override { co_return; }

 private:
  io::Task<Result<void>> act(transfer::ProgressSink sink) {
    for (const transfer::Progress& step : progress) {
      transfer::Progress copy = step;
      CO_TRY_VOID(co_await sink(std::move(copy)));
    }
    if (failure) co_return fail(*failure);
    co_return Result<void>{};
  }
};

// `shelf` holds the models that chat and generate see; the store is a real, empty one.
class OllamaNode {
 public:
  generation::testing::ModelShelf shelf;
  generation::testing::Script script;
  ScriptedTransfer transfer;
  std::unique_ptr<store::Store> store;
  // Of the requests from then on.
  std::optional<Error> body_failure;
  bool from_this_machine = false;

  explicit OllamaNode(Settings settings = {}, std::string_view keys = {}) : scheduler_(script) {
    world_.run(open_store());
    if (!keys.empty()) {
      CHECK(world_.files().write_file("/keys", keys));
      api_keys_ = security::ApiKeys::open(world_.world(), "/keys").value();
    }
    generation::GenerationOptions options;
    options.node_name = "here";
    generation_ = generation::make_generation(world_.world(), shelf, scheduler_, options);
    api_ = std::make_unique<Api>(Dependencies{.world = world_.world(),
                                              .store = *store,
                                              .scheduler = scheduler_,
                                              .generation = *generation_,
                                              .transfer = transfer,
                                              .settings = std::move(settings),
                                              .api_keys = api_keys_.get()});
  }

  KeptResponse ask(std::string method, std::string path, std::string body,
                   std::vector<std::pair<std::string, std::string>> headers = {}) {
    http::Request request;
    request.method = std::move(method);
    request.path = std::move(path);
    request.id = "request1";
    request.from_this_machine = from_this_machine;
    for (const auto& [name, value] : headers) request.headers.add(name, value);
    KeptResponse response;
    world_.run(handle(request, std::move(body), response));
    return response;
  }
  KeptResponse post(std::string path, std::string body) {
    return ask("POST", std::move(path), std::move(body));
  }
  sim::World& world() { return world_; }
  // From then on every piece of an answer takes so long.
  void take_per_piece(io::Duration time) {
    script.before_piece = [this, time] { return sleep(time); };
  }
  Digest put_model(std::string name) {
    Digest digest;
    world_.run(put_manifest(std::move(name), digest));
    return digest;
  }
  Digest put_blob(std::string data) {
    Digest digest;
    world_.run(put_loose(std::move(data), digest));
    return digest;
  }

 private:
  io::Task<void> sleep(io::Duration time) {
    const auto slept = co_await world_.clock().sleep_for(time);
    CHECK(slept.has_value());
  }
  io::Task<void> put_loose(std::string data, Digest& digest) {
    auto blob = co_await store->put_blob(std::move(data));
    CHECK(blob.has_value());
    digest = *blob;
  }
  io::Task<void> open_store() {
    auto opened = co_await store::Store::open(world_.world(), io::Path("/models"), false);
    CHECK(opened.has_value());
    store = std::move(*opened);
  }
  io::Task<void> put_manifest(std::string text, Digest& digest) {
    auto name = model::Name::parse(text);
    CHECK(name.has_value());
    std::string config = R"({"model_format":"gguf","model_family":"llama"})";
    const uint64_t size = config.size();
    auto blob = co_await store->put_blob(std::move(config));
    CHECK(blob.has_value());
    digest = *blob;
    model::Manifest manifest;
    manifest.config = {.media_type = std::string(model::kConfigMediaType),
                       .digest = *blob,
                       .size = size,
                       .from = {}};
    auto put = co_await store->put_manifest(*name, manifest.to_json());
    CHECK(put.has_value());
  }
  io::Task<void> handle(http::Request& request, std::string text, KeptResponse& response) {
    TextBody body(std::move(text));
    body.failure = body_failure;
    http::Handler handler = api_->handler();
    co_await handler(request, body, response);
  }

  sim::World world_{1};
  generation::testing::ScriptedScheduler scheduler_;
  std::unique_ptr<generation::Generation> generation_;
  std::unique_ptr<security::ApiKeys> api_keys_;
  std::unique_ptr<Api> api_;
};

}  // namespace om::api
