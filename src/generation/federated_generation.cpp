#include "generation/federated_generation.h"

#include "generation/federated_answer.h"
#include "generation/kept_answer.h"

namespace om::generation {
namespace {

constexpr std::chrono::minutes kEmbedMax{5};

}  // namespace

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
  CO_TRY(auto recording, co_await records_->take(record, fingerprint, call));
  std::string past = recording->take_past();
  if (is_own && !are_chunks(past)) {
    recording.reset();  // Our own engines take it for themselves.
    auto answer = co_await ask(own_, request, call);
    if (answer || !past.empty() || !is_holders_fault(answer.error())) co_return answer;
    is_own = false;
    CO_TRY(recording, co_await records_->take(record, fingerprint, call));
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
  // Nothing to answer is a wish to load or unload, which only our own runners know.
  const bool elsewhere = is_elsewhere(model, request.common.standing);
  if (!elsewhere || (request.messages.empty() && is_own(model))) {
    return own_.chat(std::move(request), std::move(call));
  }
  const bool own = is_own(model);
  return run(std::move(request), own, std::move(call));
}

io::Task<Result<std::unique_ptr<Answer>>> FederatedGeneration::generate(
    model::GenerateRequest request, io::Call call) {
  const std::string& model = request.common.model;
  const bool elsewhere = is_elsewhere(model, request.common.standing);
  if (!elsewhere || (request.prompt.empty() && is_own(model))) {
    return own_.generate(std::move(request), std::move(call));
  }
  const bool own = is_own(model);
  return run(std::move(request), own, std::move(call));
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
  call.deadline = std::min(call.deadline, started + kEmbedMax);
  for (const auto& backend : backends_.holders_of(request.model)) {
    const engine::ExternalModel* model = backend->find(request.model);
    if (!model) continue;
    auto asked = engine::embed_body(backend->kind(), model->name, request);
    const engine::BackendRequest running(world_.clock, backend, model->name, 0);
    auto body =
        co_await backend->fetch("POST", std::move(asked.target), std::move(asked.body), call);
    Result<model::Embedding> embedding = fail(Errc::internal, "no answer");
    if (body) {
      embedding = engine::read_embedding(*body, request.input.size());
    } else {
      embedding = fail(std::move(body).error());
    }
    if (embedding) {
      backend->answered();
      embedding->total = world_.clock.now() - started;
      co_return embedding;
    }
    last = std::move(embedding).error();
    if (!is_holders_fault(last)) break;
    backend->failed(last);
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
