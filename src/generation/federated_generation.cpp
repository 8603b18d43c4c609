#include "generation/federated_generation.h"

#include "generation/answer_run.h"
#include "generation/federated_answer.h"
#include "generation/kept_answer.h"
#include "generation/model_access.h"
#include "scheduler/backend_cost.h"

namespace om::generation {
namespace {

constexpr std::chrono::minutes kEmbedMax{5};  // Of one holder.

Result<engine::UpstreamRequest> body_of(engine::BackendKind kind, std::string_view model,
                                        const model::ChatRequest& request) {
  return engine::chat_body(kind, model, request, {});
}

Result<engine::UpstreamRequest> body_of(engine::BackendKind kind, std::string_view model,
                                        const model::GenerateRequest& request) {
  return engine::generate_body(kind, model, request, {});
}

io::Task<Result<void>> ask_to_end(engine::Backend& backend, engine::UpstreamRequest asked,
                                  io::Call call) {
  CO_TRY(const auto answer, co_await backend.ask(std::move(asked), std::move(call)));
  while (true) {
    CO_TRY(const model::Chunk chunk, co_await answer->next());
    if (chunk.done) co_return Result<void>{};
  }
}

}  // namespace

// Only an Ollama can be told. The others have their models in memory as they please, and would take
// the wish for a question.
template <class Request>
io::Task<Result<std::unique_ptr<Answer>>> FederatedGeneration::load_elsewhere(Request request,
                                                                              io::Call call) {
  model::Chunk last;
  last.done = true;
  const bool unloads = is_unload(request.common.keep_alive);
  last.reason = unloads ? model::DoneReason::unload : model::DoneReason::load;
  std::string node;
  std::optional<Error> failed;
  for (const auto& backend : backends_.all_with(request.common.model)) {
    const engine::ExternalModel* model = backend->find(request.common.model);
    if (!model || backend->kind() != engine::BackendKind::ollama) continue;
    if (!backend->may_be_asked()) {
      failed = Error{Errc::unavailable, backend->spec().name + " failed and may not be asked yet"};
      continue;
    }
    CO_TRY(auto asked, body_of(backend->kind(), model->name, request));
    const engine::BackendRequest running(world_.clock, backend, model->name, 0);
    const auto done = co_await ask_to_end(*backend, std::move(asked), call);
    if (!done) {
      failed = done.error();
      if (!is_holders_fault(*failed)) break;
      backend->failed(*failed);
      continue;
    }
    backend->answered();
    node = scheduler::backend_node(backend->spec().name);
    if (unloads) continue;  // It may be in the memory of several.
    failed.reset();
    break;
  }
  if (failed) co_return fail(std::move(*failed));
  co_return std::make_unique<FixedAnswer>(std::move(last), std::move(node));
}

template <class Request>
io::Task<Result<std::unique_ptr<Answer>>> FederatedGeneration::run(Request request, bool is_own,
                                                                   io::Call call) {
  if (records_ && !request.common.record.empty()) {
    co_return co_await run_kept(std::move(request), is_own, std::move(call));
  }
  auto answer = std::make_unique<FederatedAnswer>(world_, own_, is_own, choice_, std::move(request),
                                                  std::move(call));
  CO_TRY_VOID(co_await answer->open());
  co_return std::unique_ptr<Answer>(std::move(answer));
}

template <class Request>
io::Task<Result<std::unique_ptr<Answer>>> FederatedGeneration::run_kept(Request request,
                                                                        bool is_own,
                                                                        io::Call call) {
  const std::string record = request.common.record;
  const std::string fingerprint = request.common.record_fingerprint;
  CO_TRY(auto recording, co_await records_->take(record, fingerprint, {}, call));
  std::string past = recording->take_past();
  if (is_own && !are_chunks(past)) {
    recording.reset();  // Our own engines take it for themselves.
    auto answer = co_await ask(own_, request, call);
    if (answer || !past.empty() || !is_holders_fault(answer.error())) co_return answer;
    is_own = false;
    CO_TRY(recording, co_await records_->take(record, fingerprint, {}, call));
    past = recording->take_past();
  }
  request.common.record.clear();
  auto make = [this, is_own, request = std::move(request)](io::Call kept_call) {
    return std::make_unique<FederatedAnswer>(world_, own_, is_own, choice_, request,
                                             std::move(kept_call));
  };
  auto answer = std::make_unique<KeptAnswer>(std::move(recording), std::move(make), call);
  CO_TRY_VOID(co_await answer->open(std::move(past)));
  co_return std::unique_ptr<Answer>(std::move(answer));
}

bool FederatedGeneration::is_own(std::string_view model) {
  const auto name = model::Name::parse(model);
  return name && store_.find(*name).has_value();
}

bool FederatedGeneration::is_elsewhere(std::string_view model,
                                       const model::Standing& standing) const {
  return !standing.forwarded && backends_.any_has(model);
}

io::Task<Result<std::unique_ptr<Answer>>> FederatedGeneration::chat(model::ChatRequest request,
                                                                    io::Call call) {
  const std::string& model = request.common.model;
  const bool elsewhere = is_elsewhere(model, request.common.standing);
  const bool own = !elsewhere || is_own(model);
  if (request.asks_nothing() && !own) return load_elsewhere(std::move(request), std::move(call));
  if (request.asks_nothing() || !elsewhere) {
    return own_.chat(std::move(request), std::move(call));
  }
  return run(std::move(request), own, std::move(call));
}

io::Task<Result<std::unique_ptr<Answer>>> FederatedGeneration::generate(
    model::GenerateRequest request, io::Call call) {
  const std::string& model = request.common.model;
  const bool elsewhere = is_elsewhere(model, request.common.standing);
  const bool own = !elsewhere || is_own(model);
  if (request.asks_nothing() && !own) return load_elsewhere(std::move(request), std::move(call));
  if (request.asks_nothing() || !elsewhere) {
    return own_.generate(std::move(request), std::move(call));
  }
  return run(std::move(request), own, std::move(call));
}

io::Task<Result<model::Embedding>> FederatedGeneration::embed_at(
    std::shared_ptr<engine::Backend> backend, std::string model, const model::EmbedRequest& request,
    io::Call call) {
  auto asked = engine::embed_body(backend->kind(), model, request);
  const engine::BackendRequest running(world_.clock, backend, std::move(model), 0);
  const size_t texts = request.input.size();
  CO_TRY(std::string body, co_await backend->embed(std::move(asked), texts, std::move(call)));
  // Many vectors take a while to read.
  auto read = [body = std::move(body), texts] { return engine::read_embedding(body, texts); };
  CO_TRY(model::Embedding embedding, co_await world_.workers.run(std::move(read)));
  embedding.node = scheduler::backend_node(backend->spec().name);
  co_return embedding;
}

io::Task<Result<model::Embedding>> FederatedGeneration::embed(model::EmbedRequest request,
                                                              io::Call call) {
  const bool elsewhere = is_elsewhere(request.model, request.standing);
  if (!elsewhere || is_own(request.model)) {
    auto embedding = co_await own_.embed(request, call);
    const bool may_go_on = !embedding && is_holders_fault(embedding.error());
    if (!elsewhere || !may_go_on) co_return embedding;
  }
  const io::TimePoint started = world_.clock.now();
  Error last{Errc::unavailable, "no backend that can be reached has the model"};
  for (const auto& backend : backends_.servers_of(request.model)) {
    const engine::ExternalModel* model = backend->find(request.model);
    if (!model) continue;
    const io::TimePoint sent = world_.clock.now();
    const io::Call limited{std::min(call.deadline, sent + kEmbedMax), call.cancel};
    auto embedding = co_await embed_at(backend, model->name, request, limited);
    if (embedding) {
      backend->answered();
      embedding->total = world_.clock.now() - started;
      co_return embedding;
    }
    last = std::move(embedding).error();
    // That its client's time is over says nothing of a holder.
    if (!is_holders_fault(last) || world_.clock.now() >= call.deadline) break;
    backend->failed(last, sent);
  }
  co_return fail(std::move(last));
}

template <class Request>
Result<Decision> FederatedGeneration::try_out(const Request& request) {
  const std::string& model = request.common.model;
  if (!is_elsewhere(model, request.common.standing)) return own_.dry_run(request);
  const bool own = is_own(model);
  // A request that our nodes refuse is refused here too.
  if (own) TRY_VOID(own_.dry_run(request));
  return choice_.dry_run(request, own);
}

Result<Decision> FederatedGeneration::dry_run(const model::ChatRequest& request) {
  return try_out(request);
}

Result<Decision> FederatedGeneration::dry_run(const model::GenerateRequest& request) {
  return try_out(request);
}

std::string FederatedGeneration::explain(const std::string& request_id) const {
  std::string text = choice_.explain(request_id);
  return text.empty() ? own_.explain(request_id) : text;
}

io::Task<Result<int64_t>> FederatedGeneration::count_tokens(model::ChatRequest request,
                                                            io::Call call) {
  const bool elsewhere = is_elsewhere(request.common.model, request.common.standing);
  if (elsewhere && !is_own(request.common.model)) {
    co_return fail(Errc::unsupported, "a backend's tokens cannot be counted before it is asked");
  }
  co_return co_await own_.count_tokens(std::move(request), std::move(call));
}

}  // namespace om::generation
