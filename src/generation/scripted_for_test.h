// Models that answer as a test tells them to, for tests of this room: a store of made-up models,
// and a scheduler whose engines speak, die and come back.
//
// A token is a byte of text (its value plus one); kBos is put before a text. The text of an answer
// is a function of the prompt only, as it would be for a real model without chance: an engine asked
// to go on after part of an answer finds out where it is and says the rest.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/check.h"
#include "generation/generation.h"
#include "generation/node_records.h"
#include "sim/world.h"

namespace om::generation::testing {

inline constexpr engine::Token kBos = 1000;

// Holds models, and nothing else that a store does.
class ModelShelf final : public store::Store {
 public:
  store::Model& add(std::string_view name) {
    auto model = std::make_shared<store::Model>();
    auto parsed = model::Name::parse(name);
    CHECK(parsed.has_value());
    model->name = *parsed;
    model->digest = Digest::of(name);
    model->weights = Digest::of(std::string(name) + " weights");
    model->weights_path = blob_path(model->weights);
    model->capabilities = {"completion"};
    model->template_text = "{{ .System }}|{{ .Prompt }}|";
    model->gguf.architecture = "llama";
    model->gguf.context_length = 4096;
    model->gguf.bos_token = "<s>";
    models_[model->name.str()] = model;
    return *model;
  }
  Result<std::shared_ptr<const store::Model>> load(const model::Name& name) override {
    const auto found = models_.find(name.str());
    if (found == models_.end()) return fail(Errc::not_found, "model '{}' not found", name.str());
    return found->second;
  }

  const io::Path& root() const override { return root_; }
  io::Path blob_path(const Digest& digest) const override { return "/blobs/" + digest.file_name(); }
  Result<uint64_t> blob_size(const Digest& digest) override {
    for (const auto& [name, model] : models_) {
      if (model->weights == digest) return uint64_t{1000};
    }
    return fail(Errc::not_found, "no blob {}", digest.str());
  }
  Result<std::string> read_blob(const Digest&, uint64_t) override { return none(); }
  io::Task<Result<std::unique_ptr<store::BlobWriter>>> write_blob() override { co_return none(); }
  io::Task<Result<Digest>> put_blob(std::string) override { co_return none(); }
  io::Task<Result<std::unique_ptr<store::Workspace>>> make_workspace() override {
    co_return none();
  }
  io::Task<Result<void>> adopt_file(io::Path, Digest) override { co_return none(); }
  io::Task<Result<std::unique_ptr<store::PartialBlob>>> open_partial(Digest, uint64_t) override {
    co_return none();
  }
  io::Task<Result<void>> verify(Digest) override { co_return none(); }
  Result<std::vector<Digest>> blobs() override { return none(); }
  io::Task<Result<void>> quarantine_blob(Digest) override { co_return none(); }
  io::Task<Result<void>> remove_blob(Digest) override { co_return none(); }
  io::Task<Result<std::unique_ptr<store::Hold>>> hold(std::vector<Digest>) override {
    co_return none();
  }
  io::Task<Result<std::vector<store::StoredManifest>>> list() override { co_return none(); }
  io::Task<std::vector<Details>> details(std::vector<store::StoredManifest>) override {
    co_return std::vector<Details>();
  }
  Result<store::StoredManifest> find(const model::Name&) override { return none(); }
  Result<std::string> read_manifest(const model::Name&) override { return none(); }
  io::Task<Result<void>> put_manifest(const model::Name&, std::string) override {
    co_return none();
  }
  io::Task<Result<void>> copy(const model::Name&, const model::Name&) override { co_return none(); }
  io::Task<Result<void>> remove(const model::Name&) override { co_return none(); }
  io::Task<Result<void>> remove_unreferenced(std::vector<Digest>) override { co_return none(); }

 private:
  static std::unexpected<Error> none() { return fail(Errc::unsupported, "only models here"); }
  io::Path root_ = "/";
  std::map<std::string, std::shared_ptr<store::Model>> models_;
};

// How engines behave, and what became of them.
struct Script {
  std::string answer;                // Said to every prompt.
  std::vector<size_t> pieces = {1};  // Sizes of the pieces it is said in, over and over.
  bool stops_at_stop_words = true;
  bool says_so_later = false;  // That it stopped: in an event behind the last text.
  bool loses_ids = false;      // Of every third piece, as of incomplete characters.
  bool adds_bos = false;
  bool dies_counting = false;  // Whenever tokens of a text are asked for.
  bool logprobs = false;
  int context = 4096;
  int slots = 1;
  std::string media_marker;  // Not empty: each engine's has its number behind, from 0.
  int engines = 0;           // Made so far.
  bool embedding = false;
  size_t embedding_length = 3;
  size_t nan_for = 0;          // Texts of so many tokens have no vector.
  size_t leases_max = 1000;    // More are refused.
  size_t leaving = 0;          // Of the leases, the first so many are on a node that is drained.
  std::vector<size_t> deaths;  // Pieces each engine says before it dies; those after live on.
  bool deaths_are_of_nodes = false;
  std::function<io::Task<void>()> before_piece;  // Null: pieces take no time.
  std::optional<Error> refusal;
  bool has_standby = false;
  std::vector<engine::CompletionRequest> read_ahead;  // What a standby was asked to read.
  std::optional<Error> acquire_error;

  std::vector<engine::CompletionRequest> requests;
  std::vector<scheduler::Target> targets;
  std::vector<scheduler::AcquireOptions> acquired;
  std::vector<Digest> unloaded;
  size_t prompt_size = 0;  // Tokens (or bytes of a text prompt) of the first request.
  int leases = 0;          // Held now.
  int completions = 0;     // Running now.
  int failures = 0;        // Reported.
  std::vector<std::vector<engine::Token>> embedded;
};

inline std::vector<engine::Token> to_tokens(std::string_view text) {
  std::vector<engine::Token> tokens;
  for (const char byte : text) tokens.push_back(static_cast<unsigned char>(byte) + 1);
  return tokens;
}

inline std::string to_text(const std::vector<engine::Token>& tokens) {
  std::string text;
  for (const engine::Token token : tokens) {
    if (token != kBos) text += static_cast<char>(token - 1);
  }
  return text;
}

// Says the answer from `position` on.
class ScriptedCompletion final : public engine::Completion {
 public:
  ScriptedCompletion(Script& script, size_t position, engine::CompletionRequest request,
                     std::optional<size_t> death)
      : script_(script), position_(position), request_(std::move(request)), death_(death) {
    script_.completions++;
  }
  ~ScriptedCompletion() override { script_.completions--; }

  io::Task<Result<engine::Piece>> next() override {
    CHECK(!done_, "asked after the end");
    if (script_.before_piece) co_await script_.before_piece();
    if (death_ && said_ >= *death_) co_return fail(Errc::unavailable, "signal 9 (Killed)");
    co_return say();
  }

 private:
  engine::Piece say() {
    engine::Piece piece;
    if (stopped_by_) {
      piece.done = done_ = true;
      piece.stop_word = *stopped_by_;
      piece.output_tokens = static_cast<int64_t>(produced_);
      return piece;
    }
    const auto limit = static_cast<size_t>(request_.sampling.num_predict);
    const std::string rest = script_.answer.substr(position_);
    size_t size = std::min(script_.pieces[said_++ % script_.pieces.size()], rest.size());
    size = std::min(size, limit - produced_);
    size_t stop_at = rest.npos;
    for (const std::string& stop : request_.sampling.stop) {
      const size_t at = script_.stops_at_stop_words ? rest.find(stop) : rest.npos;
      if (at >= stop_at || at > size) continue;
      stop_at = at;
      piece.stop_word = stop;
    }
    piece.text = rest.substr(0, std::min(size, stop_at));
    if (script_.says_so_later && stop_at != rest.npos) return cut(rest, stop_at, piece.stop_word);
    produced_ += piece.text.size();
    position_ += piece.text.size();
    if (!script_.loses_ids || said_ % 3 != 0) piece.tokens = to_tokens(piece.text);
    if (script_.logprobs) {
      for (const char byte : piece.text) piece.logprobs.push_back({std::string(1, byte), -0.5, {}});
    }
    piece.output_tokens = static_cast<int64_t>(produced_);
    piece.limit = stop_at == rest.npos && produced_ == limit && position_ < script_.answer.size();
    done_ = piece.limit || stop_at != rest.npos || position_ == script_.answer.size();
    piece.done = done_;
    piece.prompt_tokens = static_cast<int64_t>(request_.tokens.size());
    return piece;
  }
  // The tokens of the stop string come with the text before it, as llama-server sends them.
  engine::Piece cut(std::string_view rest, size_t stop_at, std::string stop) {
    engine::Piece piece;
    piece.text = rest.substr(0, stop_at);
    piece.tokens = to_tokens(rest.substr(0, stop_at + stop.size()));
    produced_ += piece.tokens.size();
    position_ += piece.tokens.size();
    piece.output_tokens = static_cast<int64_t>(produced_);
    stopped_by_ = std::move(stop);
    return piece;
  }

  Script& script_;
  std::optional<std::string> stopped_by_;
  size_t position_, said_ = 0, produced_ = 0;
  engine::CompletionRequest request_;
  std::optional<size_t> death_;
  bool done_ = false;
};

// Answers by the script, until it dies.
class ScriptedEngine final : public engine::Engine {
 public:
  ScriptedEngine(Script& script, std::optional<size_t> death) : script_(script), death_(death) {
    properties_.context_length = script.context;
    properties_.slots = script.slots;
    const int number = script.engines++;
    if (!script.media_marker.empty()) {
      properties_.media_marker = fmt::format("{}{}", script.media_marker, number);
    }
    properties_.embedding = script.embedding;
  }
  const engine::Properties& properties() const override { return properties_; }

  io::Task<Result<std::unique_ptr<engine::Completion>>> complete(engine::CompletionRequest request,
                                                                 io::Call) override {
    if (script_.refusal) co_return fail(*script_.refusal);
    const size_t size = request.tokens.empty() ? request.prompt.size() : request.tokens.size();
    if (script_.requests.empty()) script_.prompt_size = size;
    script_.requests.push_back(request);
    CHECK(size >= script_.prompt_size);
    size_t position = size - script_.prompt_size;
    const std::string whole = request.tokens.empty() ? request.prompt : to_text(request.tokens);
    EXPECT_TRUE(whole.ends_with(script_.answer.substr(0, position)));
    co_return std::make_unique<ScriptedCompletion>(script_, position, std::move(request), death_);
  }
  io::Task<Result<engine::EmbeddingResult>> embed(std::vector<engine::Token> tokens, bool,
                                                  io::Call) override {
    if (death_) co_return fail(Errc::unavailable, "signal 9 (Killed)");
    engine::EmbeddingResult result;
    result.vector = {3, 4, static_cast<float>(tokens.size())};
    result.vector.resize(script_.embedding_length);
    if (tokens.size() == script_.nan_for) result.vector[0] = std::nanf("");
    result.tokens = static_cast<int64_t>(tokens.size());
    script_.embedded.push_back(std::move(tokens));
    co_return result;
  }
  io::Task<Result<std::vector<engine::Token>>> tokenize(std::string text, bool add_special,
                                                        io::Call) override {
    std::vector<engine::Token> tokens;
    if (script_.dies_counting) co_return fail(Errc::unavailable, "signal 9 (Killed)");
    if (add_special && script_.adds_bos) tokens.push_back(kBos);
    std::string_view rest = text;
    if (rest.starts_with("<s>")) {
      tokens.push_back(kBos);
      rest.remove_prefix(3);
    }
    const std::vector<engine::Token> bytes = to_tokens(rest);
    tokens.insert(tokens.end(), bytes.begin(), bytes.end());
    co_return tokens;
  }
  io::Task<Result<std::string>> detokenize(std::vector<engine::Token> tokens, io::Call) override {
    co_return to_text(tokens);
  }

 private:
  Script& script_;
  std::optional<size_t> death_;
  engine::Properties properties_;
};

// Watches that completions end before it.
class ScriptedLease final : public scheduler::Lease {
 public:
  ScriptedLease(Script& script, std::optional<size_t> death, bool leaving)
      : script_(script), engine_(script, death), leaving_(leaving), dies_(death.has_value()) {
    script_.leases++;
  }
  ~ScriptedLease() override {
    EXPECT_LT(script_.completions, script_.leases) << "a lease ended before its completion";
    script_.leases--;
  }
  engine::Engine& engine() override { return engine_; }
  std::chrono::nanoseconds load_time() const override { return std::chrono::seconds(2); }
  std::chrono::nanoseconds queue_time() const override { return {}; }
  void report_failure(const Error&) override { script_.failures++; }
  bool leaving() const override { return leaving_; }
  bool node_lost() const override { return dies_ && script_.deaths_are_of_nodes; }

 private:
  Script& script_;
  ScriptedEngine engine_;
  bool leaving_, dies_;
};

// Gives each request an engine of its own, at once.
class ScriptedScheduler final : public scheduler::Scheduler {
 public:
  explicit ScriptedScheduler(Script& script) : script_(script) {}
  io::Task<Result<std::unique_ptr<scheduler::Lease>>> acquire(scheduler::Target target,
                                                              scheduler::AcquireOptions options,
                                                              io::Call) override {
    if (script_.acquire_error) co_return fail(*script_.acquire_error);
    const size_t index = script_.targets.size();
    if (index >= script_.leases_max) co_return fail(Errc::unavailable, "no node is left");
    script_.targets.push_back(std::move(target));
    script_.acquired.push_back(std::move(options));
    std::optional<size_t> death;
    if (index < script_.deaths.size()) death = script_.deaths[index];
    co_return std::make_unique<ScriptedLease>(script_, death, index < script_.leaving);
  }
  bool unload(const Digest& weights) override {
    script_.unloaded.push_back(weights);
    return true;
  }
  std::vector<scheduler::LoadedModel> loaded() const override { return {}; }
  bool wants_read_ahead() const override { return script_.has_standby; }
  io::Task<Result<void>> read_ahead(scheduler::Target, scheduler::AcquireOptions,
                                    engine::CompletionRequest request, std::string,
                                    io::Call) override {
    script_.read_ahead.push_back(std::move(request));
    co_return Result<void>{};
  }
  io::Task<void> stop() override { co_return; }

 private:
  Script& script_;
};

// What came of one request.
struct Outcome {
  std::optional<Error> error;  // Wherever it came.
  model::Chunk whole;          // Everything joined; the rest is the last chunk's.
  std::vector<model::Chunk> chunks;
  Route route;
};

// A node with its models and engines.
class Bench {
 public:
  ModelShelf shelf;
  Script script;

  explicit Bench(bool resume = true) : scheduler_(script) {
    GenerationOptions options;
    options.node_name = "here";
    options.records = &records_;
    options.resume = resume;
    generation_ = make_generation(world_.world(), shelf, scheduler_, options);
  }
  Generation& generation() { return *generation_; }
  // From then on every piece of an answer takes so long.
  void take_per_piece(io::Duration time) {
    script.before_piece = [this, time] { return sleep(time); };
  }

  Outcome chat(model::ChatRequest request) {
    Outcome outcome;
    world_.run(run_chat(std::move(request), outcome));
    EXPECT_EQ(script.leases, 0);
    return outcome;
  }
  Outcome generate(model::GenerateRequest request) {
    Outcome outcome;
    world_.run(run_generate(std::move(request), outcome));
    EXPECT_EQ(script.leases, 0);
    return outcome;
  }
  Result<model::Embedding> embed(model::EmbedRequest request) {
    Result<model::Embedding> result;
    world_.run(run_embed(std::move(request), result));
    EXPECT_EQ(script.leases, 0);
    return result;
  }
  Result<int64_t> count(model::ChatRequest request) {
    Result<int64_t> result;
    world_.run(run_count(std::move(request), result));
    return result;
  }
  // One client has `chunks` chunks when another one asks the same; what both get.
  std::pair<Outcome, Outcome> take_over(model::ChatRequest request, int chunks) {
    std::pair<Outcome, Outcome> outcomes;
    world_.run(run_take_over(std::move(request), chunks, outcomes));
    return outcomes;
  }
  // Asks for `chunks` chunks and leaves.
  void leave_after(model::ChatRequest request, int chunks) {
    world_.run(run_leaving(std::move(request), chunks));
  }

 private:
  io::Task<void> sleep(io::Duration time) {
    const auto slept = co_await world_.clock().sleep_for(time);
    CHECK(slept.has_value());
  }
  io::Task<void> collect(Result<std::unique_ptr<Answer>> answer, Outcome& outcome) {
    if (!answer) {
      outcome.error = std::move(answer).error();
      co_return;
    }
    while (!outcome.whole.done) {
      auto chunk = co_await (*answer)->next();
      if (!chunk) {
        outcome.error = std::move(chunk).error();
        break;
      }
      outcome.chunks.push_back(*chunk);
      add(outcome.whole, *chunk);
    }
    outcome.route = (*answer)->route();
  }
  static void add(model::Chunk& whole, const model::Chunk& chunk) {
    model::Chunk before = std::move(whole);
    whole = chunk;
    whole.content.insert(0, before.content);
    whole.thinking.insert(0, before.thinking);
    whole.tool_calls.insert(whole.tool_calls.begin(), before.tool_calls.begin(),
                            before.tool_calls.end());
    whole.logprobs.insert(whole.logprobs.begin(), before.logprobs.begin(), before.logprobs.end());
  }
  io::Task<void> run_chat(model::ChatRequest request, Outcome& outcome) {
    auto answer = co_await generation_->chat(std::move(request), {});
    co_await collect(std::move(answer), outcome);
  }
  io::Task<void> run_generate(model::GenerateRequest request, Outcome& outcome) {
    auto answer = co_await generation_->generate(std::move(request), {});
    co_await collect(std::move(answer), outcome);
  }
  io::Task<void> run_embed(model::EmbedRequest request, Result<model::Embedding>& result) {
    result = co_await generation_->embed(std::move(request), {});
  }
  io::Task<void> run_count(model::ChatRequest request, Result<int64_t>& result) {
    result = co_await generation_->count_tokens(std::move(request), {});
  }
  io::Task<void> run_take_over(model::ChatRequest request, int chunks,
                               std::pair<Outcome, Outcome>& outcomes) {
    auto first = co_await generation_->chat(request, {});
    CHECK(first.has_value());
    for (int i = 0; i < chunks; i++) {
      auto chunk = co_await (*first)->next();
      CHECK(chunk.has_value());
    }
    auto second = co_await generation_->chat(std::move(request), {});
    co_await collect(std::move(first), outcomes.first);
    co_await collect(std::move(second), outcomes.second);
  }
  io::Task<void> run_leaving(model::ChatRequest request, int chunks) {
    auto answer = co_await generation_->chat(std::move(request), {});
    CHECK(answer.has_value());
    for (int i = 0; i < chunks; i++) {
      auto chunk = co_await (*answer)->next();
      CHECK(chunk.has_value());
    }
  }

  sim::World world_{1};
  http::Client client_{world_.world()};
  NodeRecords records_{world_.world(), client_, [] { return std::vector<engine::PeerLink>(); }};
  ScriptedScheduler scheduler_;
  std::unique_ptr<Generation> generation_;
};

inline model::ChatRequest chat_request(std::string model, std::string content) {
  model::ChatRequest request;
  request.common.model = std::move(model);
  model::Message message;
  message.role = "user";
  message.content = std::move(content);
  request.messages.push_back(std::move(message));
  return request;
}

inline model::GenerateRequest generate_request(std::string model, std::string prompt) {
  model::GenerateRequest request;
  request.common.model = std::move(model);
  request.prompt = std::move(prompt);
  return request;
}

}  // namespace om::generation::testing
