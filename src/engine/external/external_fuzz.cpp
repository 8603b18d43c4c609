// Any bytes as what a foreign server streams, lists or refuses with: the same chunks and errors
// however they are cut, and within our bounds. Any bytes as a backend that was written down:
// refused, or the same one when it is written again.
#include <boost/json.hpp>

#include "base/check.h"
#include "base/utf8.h"
#include "engine/external/backend.h"
#include "io/real.h"

namespace om::engine {
namespace {

constexpr size_t kNameBytesMax = 64, kToolCallsMax = 128;
constexpr size_t kErrorBytesMax = 70 << 10;  // What is read of an error, and our words around it.

io::RealWorld& real_world() {
  static io::RealWorld world;
  return world;
}

// A body that comes in slices.
class SlicedResponse final : public http::ClientResponse {
 public:
  SlicedResponse(std::string_view body, size_t slice) : body_(body), slice_(slice) {}

  int status() const override { return 200; }
  const http::Headers& headers() const override { return headers_; }
  std::optional<uint64_t> length() const override { return std::nullopt; }
  io::Task<Result<bool>> read_some(std::string& into) override {
    const std::string_view slice = body_.substr(0, slice_);
    into += slice;
    body_.remove_prefix(slice.size());
    co_return !slice.empty();
  }
  io::Task<Result<std::string>> read_all(uint64_t) override { co_return std::string(body_); }
  void set_idle_max(io::Duration) override {}

 private:
  http::Headers headers_;
  std::string_view body_;
  size_t slice_;
};

// A connection on which one answer comes, whatever was asked; then the server closes it.
class ScriptedStream final : public io::Stream {
 public:
  explicit ScriptedStream(std::string_view answer) : answer_(answer) {}

  io::Task<Result<size_t>> read_some(std::span<char> into) override {
    const size_t count = std::min(into.size(), answer_.size());
    std::copy_n(answer_.data(), count, into.data());
    answer_.remove_prefix(count);
    co_return count;
  }
  io::Task<Result<void>> write(std::span<const std::string_view>) override {
    co_return Result<void>{};
  }
  void set_deadline(io::TimePoint) override {}
  void abort() override {}
  bool is_idle() override { return false; }
  std::string peer() const override { return "127.0.0.1:1"; }

 private:
  std::string_view answer_;
};

// Whoever connects gets the same answer.
class ScriptedNetwork final : public io::Network {
 public:
  ScriptedNetwork(int status, std::string_view body)
      : answer_(fmt::format("HTTP/1.1 {} It\r\n\r\n{}", status, body)) {}

  io::Task<Result<std::unique_ptr<io::Stream>>> connect(io::Endpoint,
                                                        std::shared_ptr<const io::Tls>,
                                                        io::Call) override {
    co_return std::make_unique<ScriptedStream>(answer_);
  }
  Result<std::unique_ptr<io::Listener>> listen(io::Endpoint,
                                               std::shared_ptr<const io::Tls>) override {
    return fail(Errc::unsupported, "nobody connects to us");
  }

 private:
  std::string answer_;
};

std::string told(const Error& error) {
  CHECK(!error.what.empty() && error.what.size() <= kErrorBytesMax);
  return fmt::format("{}: {}", to_string(error.code), error.what);
}

void check_call(const model::ToolCall& call) {
  boost::system::error_code failed;
  CHECK(boost::json::parse(call.arguments, failed).is_object() && !failed);
  // It goes into one line of ours as it is.
  CHECK(call.arguments.find_first_of("\r\n") == std::string::npos);
}

void check_usage(const model::Usage& usage) {
  for (const int64_t count :
       {usage.prompt_tokens, usage.prompt_cached_tokens, usage.output_tokens}) {
    CHECK(count >= 0 && count <= kBackendTokensMax);
  }
  for (const auto time : {usage.total, usage.load, usage.prompt_eval, usage.eval}) {
    CHECK(time.count() >= 0);
  }
}

std::string told(const model::Chunk& chunk) {
  CHECK(utf8_valid(chunk.content) && utf8_valid(chunk.thinking));
  CHECK(chunk.tool_calls.size() <= kToolCallsMax);
  check_usage(chunk.usage);
  std::string text = fmt::format("[{}|{}", chunk.content, chunk.thinking);
  for (const model::ToolCall& call : chunk.tool_calls) {
    check_call(call);
    text += fmt::format("|{} {} {}", call.id, call.name, call.arguments);
  }
  for (const model::Logprob& logprob : chunk.logprobs) {
    text += fmt::format("|{} {} {}", logprob.token, logprob.logprob, logprob.top.size());
  }
  if (chunk.done) {
    text += fmt::format("|{} {} {} {}", static_cast<int>(chunk.reason), chunk.usage.prompt_tokens,
                        chunk.usage.output_tokens, chunk.usage.eval.count());
  }
  return text + "]";
}

io::Task<void> read_answer(std::unique_ptr<ExternalAnswer> answer, std::string* log) {
  while (true) {
    const auto chunk = co_await answer->next();
    *log += chunk ? told(*chunk) : told(chunk.error());
    if (!chunk || chunk->done) co_return;
    // Each says something, so that no server can make us spin.
    CHECK(!chunk->content.empty() || !chunk->thinking.empty() || !chunk->tool_calls.empty() ||
          !chunk->logprobs.empty());
  }
}

std::string answer_of(std::string_view body, size_t slice, bool lines) {
  auto limit = std::make_unique<SilenceLimit>(real_world().world().clock, io::CancelToken{},
                                              std::make_shared<BackendHealth>());
  auto answer = std::make_unique<ExternalAnswer>(std::move(limit),
                                                 std::make_unique<SlicedResponse>(body, slice),
                                                 lines ? ollama_events() : openai_events(), lines);
  std::string log;
  real_world().run_until_done(read_answer(std::move(answer), &log));
  return log;
}

void read_answers(std::string_view body) {
  constexpr size_t kSingleBytesMax = 4096;  // Byte by byte takes long.
  for (const bool lines : {false, true}) {
    const std::string whole = answer_of(body, body.size() + 1, lines);
    for (const size_t slice : {7, 69}) CHECK(answer_of(body, slice, lines) == whole);
    if (body.size() <= kSingleBytesMax) CHECK(answer_of(body, 1, lines) == whole);
  }
}

std::string_view without_latest(std::string_view model) {
  return model.substr(0, model.size() - (model.ends_with(":latest") ? 7 : 0));
}

io::Task<void> check(Backend* backend) {
  const io::Call call;
  const auto checked = co_await backend->check(call);
  CHECK(checked.has_value() == backend->healthy());
  if (!checked) (void)told(checked.error());
  CHECK(checked || backend->models().empty());
  CHECK(backend->models().size() <= kBackendModelsMax);
  for (const ExternalModel& model : backend->models()) {
    CHECK(!model.name.empty());
    const ExternalModel* found = backend->find(model.name);
    CHECK(found && without_latest(found->name) == without_latest(model.name));
    const auto& wanted = backend->spec().models;
    CHECK(wanted.empty() || without_latest(model.name) == without_latest(wanted.front()));
  }
}

struct Answered {
  BackendKind kind = BackendKind::unknown;  // Then it is found out first.
  int status = 200;
  std::vector<std::string> models;  // Wanted of it; empty: all.
};

void read_list(std::string_view body, const Answered& answered) {
  const io::World& real = real_world().world();
  ScriptedNetwork network(answered.status, body);
  io::World world{real.executor, real.clock,     real.random, network,
                  real.files,    real.processes, real.workers};
  http::Client client(world);
  BackendSpec spec = *make_backend("http://server:1", "server");
  spec.kind = answered.kind;
  spec.models = answered.models;
  Backend backend(world, client, std::move(spec), "key");
  real_world().run_until_done(check(&backend));
}

void read_lists(std::string_view body) {
  read_list(body, {});
  read_list(body, {.kind = BackendKind::ollama, .models = {"a:latest"}});
  read_list(body, {.kind = BackendKind::openai, .models = {"a:latest"}});
  read_list(body, {.kind = BackendKind::openai, .status = 500});
}

void read_embeddings(std::string_view text) {
  for (const size_t count : {0, 1, 2}) {
    const auto embedding = read_embedding(text, count);
    if (!embedding) continue;
    CHECK(embedding->vectors.size() == count);
    CHECK(embedding->prompt_tokens >= 0 && embedding->prompt_tokens <= kBackendTokensMax);
  }
}

void check_spec(const BackendSpec& spec) {
  // It becomes the name of a file, too.
  CHECK(!spec.name.empty() && spec.name.size() <= kNameBytesMax);
  CHECK(spec.name != "." && spec.name != ".." && spec.name.find('/') == std::string::npos);
  CHECK(http::Url::parse(spec.url).has_value());
  CHECK(spec.models.size() <= kBackendModelsMax);
  const auto again = read_backend(write_backend(spec));
  CHECK(again && *again == spec);
}

void read_spec(std::string_view text) {
  if (const auto spec = read_backend(text)) check_spec(*spec);
  if (const auto kind = parse_backend_kind(text)) CHECK(to_string(*kind) == text);
  if (!utf8_valid(text)) return;  // The API takes it out of JSON.
  if (const auto spec = make_backend(text, "")) check_spec(*spec);
  if (const auto spec = make_backend("http://server", std::string(text))) check_spec(*spec);
}

}  // namespace
}  // namespace om::engine

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace om::engine;  // NOLINT: one function.
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  read_answers(bytes);
  // A connection takes as long as many answers do, and what is no object ends in one place.
  if (bytes.starts_with('{')) read_lists(bytes);
  read_embeddings(bytes);
  read_spec(bytes);
  return 0;
}
