// Embeddings: each text cut to the context, embedded with a few at once, normalized.
#include <algorithm>
#include <cmath>

#include "base/log.h"
#include "generation/metrics.h"
#include "generation/node_generation.h"
#include "io/task_group.h"

namespace om::generation {
namespace {

constexpr size_t kTextsAtOnceMax = 4;
constexpr size_t kTextsMax = 65536;
// In one answer: 256 MiB of them, and thrice that as text.
constexpr size_t kNumbersMax = size_t{64} << 20;

// Cuts to `limit` tokens, of which those that the tokenizer adds at both ends stay.
Result<std::vector<engine::Token>> cut(std::vector<engine::Token> whole,
                                       std::vector<engine::Token> bare, size_t limit) {
  if (whole.size() <= limit) return whole;
  const size_t added = whole.size() - std::min(bare.size(), whole.size());
  if (limit <= added) {
    return fail(Errc::invalid_argument, "input after truncation exceeds maximum context length");
  }
  size_t front = 0;
  while (front < added &&
         !std::equal(bare.begin(), bare.end(), whole.begin() + static_cast<ptrdiff_t>(front))) {
    front++;
  }
  const size_t kept = limit - (added - front);
  whole.erase(whole.begin() + static_cast<ptrdiff_t>(kept),
              whole.end() - static_cast<ptrdiff_t>(added - front));
  return whole;
}

Result<void> finish_vector(std::vector<float>& vector, int dimensions, bool normalize) {
  if (dimensions > 0 && static_cast<size_t>(dimensions) < vector.size()) {
    vector.resize(static_cast<size_t>(dimensions));
  }
  double sum = 0;
  for (const float value : vector) {
    if (!std::isfinite(value)) {
      return fail(Errc::invalid_argument, "embedding contains NaN or Inf values");
    }
    sum += static_cast<double>(value) * static_cast<double>(value);
  }
  if (!normalize || sum == 0) return {};
  const auto factor = static_cast<float>(1.0 / std::sqrt(sum));
  for (float& value : vector) value *= factor;
  return {};
}

// One request's texts, worked on by a few coroutines. Lives in the frame of embed().
struct Batch {
  const model::EmbedRequest& request;
  engine::Engine& engine;
  size_t limit = 0;
  io::Call call;
  size_t next = 0;
  model::Embedding embedding;
  std::optional<Error> error;
};

// A batch may be of thousands of texts, of which one makes no vector: it is named.
io::Task<Result<std::vector<float>>> vector_of(Batch& batch, std::vector<engine::Token> tokens,
                                               size_t index) {
  auto made = co_await batch.engine.embed(std::move(tokens), false, batch.call);
  Result<void> finished;
  if (made) {
    finished = finish_vector(made->vector, batch.request.dimensions, batch.request.normalize);
  } else {
    finished = fail(made.error());
  }
  if (finished) co_return std::move(made->vector);
  Error error = std::move(finished).error();
  if (error.code == Errc::invalid_argument) error.what += fmt::format(" (input {})", index);
  co_return fail(std::move(error));
}

io::Task<Result<void>> embed_one(Batch& batch, size_t index) {
  std::string text = batch.request.input[index];
  CO_TRY(auto tokens, co_await batch.engine.tokenize(text, true, batch.call));
  if (tokens.size() > batch.limit) {
    if (!batch.request.truncate) {
      co_return fail(Errc::invalid_argument, "the input length exceeds the context length");
    }
    CO_TRY(auto bare, co_await batch.engine.tokenize(text, false, batch.call));
    CO_TRY(tokens, cut(std::move(tokens), std::move(bare), batch.limit));
    batch.embedding.texts_cut++;
  }
  if (tokens.empty()) co_return Result<void>{};  // Nothing to embed: an empty vector.
  batch.embedding.prompt_tokens += static_cast<int64_t>(tokens.size());
  std::vector<float>& vector = batch.embedding.vectors[index];
  CO_TRY(vector, co_await vector_of(batch, std::move(tokens), index));
  // All have the same length: told by the first one, not by the last after hours.
  if (vector.size() > kNumbersMax / batch.request.input.size()) {
    co_return fail(Errc::invalid_argument,
                   "{} texts of {} numbers each are too many for one request; send up to {}",
                   batch.request.input.size(), vector.size(), kNumbersMax / vector.size());
  }
  co_return Result<void>{};
}

void note_cut_texts(const Batch& batch, const model::EmbedRequest& request) {
  const size_t count = batch.embedding.texts_cut;
  if (count == 0) return;
  truncated.add(count);
  log_info("texts too long to be embedded, their ends are left out", field("model", request.model),
           field("tokens_max", batch.limit), field("texts", request.input.size()),
           field("cut", count));
}

io::Task<void> work(Batch& batch) {
  while (!batch.error && batch.next < batch.request.input.size()) {
    const size_t index = batch.next++;
    Result<void> done = co_await embed_one(batch, index);
    if (!done && !batch.error) batch.error = std::move(done).error();
  }
}

}  // namespace

io::Task<Result<model::Embedding>> NodeGeneration::embed(model::EmbedRequest request,
                                                         io::Call call) {
  const io::TimePoint started = world_.clock.now();
  co_await learn(store_, request.model);
  CO_TRY(ModelPointer model, find_model(store_, request.model, Purpose::embed));
  if (request.input.size() > kTextsMax) {
    co_return fail(Errc::invalid_argument, "more than {} texts in one request", kTextsMax);
  }
  CO_TRY_VOID(check_purpose(*model, request.model, Purpose::embed));
  Job job;
  job.model = model;
  CO_TRY(job.options, merge_options(*model, request.options, options_.default_context));
  job.target = make_target(model, job.options.runner);
  job.acquire = make_acquire(request.keep_alive, request.standing);

  for (int attempt = 1;; attempt++) {
    CO_TRY(Leased leased, co_await acquire(job, call));
    int limit = leased.context;
    if (model->gguf.context_length > 0) {
      limit = std::min(limit, static_cast<int>(model->gguf.context_length));
    }
    engine::Engine& engine = leased.lease->engine();
    Batch batch{.request = request,
                .engine = engine,
                .limit = static_cast<size_t>(limit),
                .call = call,
                .next = 0,
                .embedding = {},
                .error = {}};
    batch.embedding.vectors.resize(request.input.size());
    batch.embedding.load = leased.load;
    batch.embedding.node = leased.lease->node();
    if (batch.embedding.node.empty()) batch.embedding.node = options_.node_name;
    const auto slots = static_cast<size_t>(std::max(engine.properties().slots, 1));
    const size_t workers = std::min({kTextsAtOnceMax, slots, request.input.size()});
    io::TaskGroup group(world_.executor, world_.clock);
    for (size_t i = 0; i < workers; i++) group.spawn(work(batch));
    co_await group.wait();
    if (!batch.error) {
      batch.embedding.total = world_.clock.now() - started;
      note_cut_texts(batch, request);
      count_answer(job.target.name, job.acquire.client, batch.embedding.prompt_tokens, 0);
      co_return std::move(batch.embedding);
    }
    if (batch.error->code != Errc::unavailable) co_return fail(std::move(*batch.error));
    leased.lease->report_failure(*batch.error);
    if (attempt >= kAttemptsUnstartedMax) {
      co_return fail(Errc::internal, "model runner has unexpectedly stopped: {}",
                     batch.error->what);
    }
    retried.add();
  }
}

}  // namespace om::generation
