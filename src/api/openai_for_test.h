// A node whose models answer as a test tells them to, asked through the router: what the handlers
// of the OpenAI and Anthropic routes need, and nothing behind them.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "api/api.h"
#include "base/check.h"
#include "sim/world.h"

namespace om::api {

// Gives the same chunks to every request, then `failure` if it is set, else nothing more.
struct Script {
  std::vector<model::Chunk> chunks;
  std::optional<Error> refusal;  // Before any chunk.
  std::optional<Error> failure;
  io::Duration pause{};  // Before the answer, and before each chunk.
  bool at_once = false;  // All chunks but the last come in one read, and the failure with them.
};

// The answer to one request: the script's chunks, then its failure.
class ScriptedAnswer final : public generation::Answer {
 public:
  ScriptedAnswer(const Script& script, io::Clock& clock)
      : chunks_(script.chunks.begin(), script.chunks.end()),
        failure_(script.failure),
        pause_(script.pause),
        at_once_(script.at_once),
        clock_(clock) {}
  io::Task<Result<model::Chunk>> next() override {
    CO_TRY_VOID(co_await clock_.sleep_for(pause_));
    if (!chunks_.empty()) {
      model::Chunk chunk = std::move(chunks_.front());
      chunks_.pop_front();
      co_return chunk;
    }
    CHECK(failure_.has_value(), "asked again after the last chunk");
    co_return fail(*failure_);
  }
  std::optional<Result<model::Chunk>> ready() override {
    if (!at_once_) return std::nullopt;
    if (chunks_.empty()) return fail(*failure_);
    if (chunks_.front().done) return std::nullopt;
    std::optional<Result<model::Chunk>> chunk(std::move(chunks_.front()));
    chunks_.pop_front();
    return chunk;
  }
  const generation::Route& route() const override { return route_; }

 private:
  std::deque<model::Chunk> chunks_;
  std::optional<Error> failure_;
  io::Duration pause_;
  bool at_once_;
  io::Clock& clock_;
  generation::Route route_{.node = "here"};
};

// Answers every request by `script` and keeps what was asked.
class ScriptedGeneration final : public generation::Generation {
 public:
  explicit ScriptedGeneration(io::Clock& clock) : clock_(clock) {}
  Script script;
  model::Embedding embedding;
  std::vector<model::ChatRequest> chats;
  std::vector<model::GenerateRequest> prompts;

  io::Task<Result<std::unique_ptr<generation::Answer>>> chat(model::ChatRequest request,
                                                             io::Call) override {
    chats.push_back(std::move(request));
    CO_TRY_VOID(co_await clock_.sleep_for(script.pause));
    co_return answer();
  }
  io::Task<Result<std::unique_ptr<generation::Answer>>> generate(model::GenerateRequest request,
                                                                 io::Call) override {
    prompts.push_back(std::move(request));
    CO_TRY_VOID(co_await clock_.sleep_for(script.pause));
    co_return answer();
  }
  io::Task<Result<model::Embedding>> embed(model::EmbedRequest, io::Call) override {
    if (script.refusal) co_return fail(*script.refusal);
    co_return embedding;
  }
  io::Task<Result<int64_t>> count_tokens(model::ChatRequest request, io::Call) override {
    chats.push_back(std::move(request));
    if (script.refusal) co_return fail(*script.refusal);
    co_return 42;
  }
  Result<generation::Decision> dry_run(const model::ChatRequest&) override {
    return fail(Errc::unsupported, "not scripted");
  }
  Result<generation::Decision> dry_run(const model::GenerateRequest&) override {
    return fail(Errc::unsupported, "not scripted");
  }
  std::string explain(const std::string&) const override { return {}; }

 private:
  Result<std::unique_ptr<generation::Answer>> answer() const {
    if (script.refusal) return fail(*script.refusal);
    return std::make_unique<ScriptedAnswer>(script, clock_);
  }

  io::Clock& clock_;
};

// These routes neither schedule nor transfer.
class NoScheduler final : public scheduler::Scheduler {
 public:
  io::Task<Result<std::unique_ptr<scheduler::Lease>>> acquire(scheduler::Target,
                                                              scheduler::AcquireOptions,
                                                              io::Call) override {
    co_return fail(Errc::unsupported, "not here");
  }
  bool unload(const Digest&) override { return false; }
  std::vector<scheduler::LoadedModel> loaded() const override { return {}; }
  io::Task<void> stop() override { co_return; }
};

// See NoScheduler.
class NoTransfer final : public transfer::Transfer {
 public:
  io::Task<Result<void>> pull(transfer::RegistryRequest, transfer::ProgressSink,
                              io::Call) override {
    co_return fail(Errc::unsupported, "not here");
  }
  io::Task<Result<void>> push(transfer::RegistryRequest, transfer::ProgressSink,
                              io::Call) override {
    co_return fail(Errc::unsupported, "not here");
  }
  io::Task<Result<void>> create(transfer::CreateRequest, transfer::ProgressSink,
                                io::Call) override {
    co_return fail(Errc::unsupported, "not here");
  }
  io::Task<void> stop() override { co_return; }
};

// A request's body that is there at once, or fails.
class TextBody final : public http::BodyReader {
 public:
  explicit TextBody(std::string text) : text_(std::move(text)) {}
  std::optional<Error> failure;  // Of read_all().
  io::Task<Result<std::string>> read_some() override { co_return std::exchange(text_, ""); }
  io::Task<Result<std::string>> read_all(uint64_t size_max) override {
    if (failure) co_return fail(*failure);
    if (text_.size() > size_max) co_return fail(Errc::overloaded, "the body is too large");
    co_return std::exchange(text_, "");
  }
  std::optional<uint64_t> length() const override { return text_.size(); }

 private:
  std::string text_;
};

// Keeps what was answered.
class KeptResponse final : public http::ResponseWriter {
 public:
  int status = 0;
  std::string content_type, body;
  bool finished = false;
  // What a client does that reads something, before the writer goes on. Null: nothing.
  std::function<io::Task<void>(std::string_view)> on_write;

  http::Headers& headers() override { return headers_; }
  io::Task<Result<void>> send(int code, std::string type, std::string text) override {
    CHECK(!started(), "answered twice");
    status = code;
    content_type = std::move(type);
    body = std::move(text);
    finished = true;
    co_return Result<void>();
  }
  io::Task<Result<void>> start(int code, std::string type, std::optional<uint64_t>) override {
    CHECK(!started(), "started twice");
    status = code;
    content_type = std::move(type);
    co_return Result<void>();
  }
  io::Task<Result<void>> write(std::string_view data) override {
    body += data;
    if (on_write) co_await on_write(data);
    co_return Result<void>();
  }
  io::Task<Result<void>> finish() override {
    finished = true;
    co_return Result<void>();
  }
  bool started() const override { return status != 0; }

 private:
  http::Headers headers_;
};

// One node with an empty store; ask() runs one request to its end.
class ScriptedNode {
  sim::World world_{1};  // Outlives the generation.

 public:
  ScriptedNode() {
    world_.run(open_store());
    dependencies_ = std::make_unique<Dependencies>(Dependencies{.world = world_.world(),
                                                                .store = *store_,
                                                                .scheduler = scheduler_,
                                                                .generation = generation,
                                                                .transfer = transfer_,
                                                                .settings = {}});
    register_openai(router_, *dependencies_);
    register_anthropic(router_, *dependencies_);
  }

  KeptResponse ask(std::string method, std::string path, std::string body,
                   std::vector<std::pair<std::string, std::string>> headers = {}) {
    http::Request request;
    request.method = std::move(method);
    request.path = std::move(path);
    request.id = "request1";
    for (const auto& [name, value] : headers) request.headers.add(name, value);
    KeptResponse response;
    response.on_write = on_write;
    world_.run(handle(request, std::move(body), response));
    return response;
  }
  std::function<io::Task<void>(std::string_view)> on_write;  // See KeptResponse.
  KeptResponse post(std::string path, std::string body) {
    return ask("POST", std::move(path), std::move(body));
  }
  sim::World& world() { return world_; }
  void add_model(std::string name) { world_.run(put_manifest(std::move(name))); }

  ScriptedGeneration generation{world_.world().clock};

  // While another request is answered.
  io::Task<void> handle(http::Request& request, std::string text, KeptResponse& response) {
    TextBody body(std::move(text));
    Context context{.request = request, .body = body, .response = response};
    auto pick_up = read_pick_up(request.headers, request.path);
    CHECK(pick_up.has_value(), "a test's key is right");
    context.pick_up = std::move(*pick_up);
    co_await router_.handle(context);
  }

 private:
  io::Task<void> open_store() {
    auto opened = co_await store::Store::open(world_.world(), io::Path("/models"), false);
    CHECK(opened.has_value(), "the store opens");
    store_ = std::move(*opened);
  }
  io::Task<void> put_manifest(std::string text) {
    auto name = model::Name::parse(text);
    CHECK(name.has_value(), "a test's name is right");
    std::string config = "{}";
    auto blob = co_await store_->put_blob(std::move(config));
    CHECK(blob.has_value(), "the config is written");
    model::Manifest manifest;
    manifest.config = {
        .media_type = std::string(model::kConfigMediaType), .digest = *blob, .size = 2, .from = {}};
    auto put = co_await store_->put_manifest(*name, manifest.to_json());
    CHECK(put.has_value(), "the manifest is written");
  }

  std::unique_ptr<store::Store> store_;
  NoScheduler scheduler_;
  NoTransfer transfer_;
  std::unique_ptr<Dependencies> dependencies_;
  Router router_;
};

}  // namespace om::api
