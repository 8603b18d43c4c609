#include "generation/federated_generation.h"

#include "generation/federated_answer.h"

namespace om::generation {
namespace {

constexpr std::chrono::minutes kEmbedMax{5};

template <class Request>
io::Task<Result<std::unique_ptr<Answer>>> run(io::World& world, Generation& own, bool is_own,
                                              engine::Backends& backends, Request request,
                                              io::Call call) {
  auto answer = std::make_unique<FederatedAnswer>(world, own, is_own, backends, std::move(request),
                                                  std::move(call));
  CO_TRY_VOID(co_await answer->open());
  co_return std::unique_ptr<Answer>(std::move(answer));
}

}  // namespace

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
  return run(world_, own_, own, backends_, std::move(request), std::move(call));
}

io::Task<Result<std::unique_ptr<Answer>>> FederatedGeneration::generate(
    model::GenerateRequest request, io::Call call) {
  const std::string& model = request.common.model;
  const bool elsewhere = is_elsewhere(model, request.common.standing);
  if (!elsewhere || (request.prompt.empty() && is_own(model))) {
    return own_.generate(std::move(request), std::move(call));
  }
  const bool own = is_own(model);
  return run(world_, own_, own, backends_, std::move(request), std::move(call));
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
    backend->begin_request();
    auto body =
        co_await backend->fetch("POST", std::move(asked.target), std::move(asked.body), call);
    backend->end_request();
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

io::Task<Result<int64_t>> FederatedGeneration::count_tokens(model::ChatRequest request,
                                                            io::Call call) {
  const bool elsewhere = is_elsewhere(request.common.model, request.common.standing);
  if (elsewhere && !is_own(request.common.model)) {
    co_return fail(Errc::unsupported, "a backend's tokens cannot be counted before it is asked");
  }
  co_return co_await own_.count_tokens(std::move(request), std::move(call));
}

}  // namespace om::generation
