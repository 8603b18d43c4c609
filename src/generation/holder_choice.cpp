#include "generation/holder_choice.h"

#include <algorithm>

#include "base/log.h"
#include "scheduler/backend_cost.h"

namespace om::generation {
namespace {

scheduler::Priority priority_of(const HolderChoice::Request& request) {
  return common_of(request).standing.batch ? scheduler::Priority::batch
                                           : scheduler::Priority::interactive;
}

size_t bytes_of(const model::ChatRequest& request) {
  size_t bytes = 0;
  for (const model::Message& message : request.messages) bytes += message.content.size();
  return bytes;
}

size_t bytes_of(const model::GenerateRequest& request) {
  return request.prompt.size() + request.suffix.size() + request.system.size();
}

}  // namespace

const model::RequestCommon& common_of(const HolderChoice::Request& request) {
  return std::visit([](const auto& r) -> const model::RequestCommon& { return r.common; }, request);
}

size_t prompt_bytes_of(const HolderChoice::Request& request) {
  return std::visit([](const auto& r) { return bytes_of(r); }, request);
}

HolderChoice::Made HolderChoice::decide(const Request& request, bool own,
                                        const std::set<std::string>& asked) const {
  Made made;
  if (own) {
    auto nodes = std::visit([this](const auto& r) { return own_.dry_run(r); }, request);
    // What our nodes refuse, they say best themselves.
    if (nodes) made.decision = std::move(*nodes);
  }
  const std::string& model = common_of(request).model;
  const size_t bytes = prompt_bytes_of(request);
  if (!made.decision) {
    made.decision = std::make_shared<scheduler::PlacementDecision>();
    made.decision->prompt_tokens = scheduler::TokenRatio().tokens(0, bytes);
    made.decision->output_tokens = answer_lengths_.expected(model);
  }
  std::vector<scheduler::BackendOffer> offers;
  for (const auto& backend : backends_.all_with(model)) {
    offers.push_back(scheduler::offer_of(*backend, backend->find(model)->name, bytes,
                                         asked.contains(backend->spec().name)));
  }
  made.own_first = scheduler::add_backends(*made.decision, offers, own, priority_of(request));
  return made;
}

HolderChoice::Chosen HolderChoice::choose(const Request& request, bool own,
                                          const std::set<std::string>& asked) {
  const Made made = decide(request, own, asked);
  const std::string& id = common_of(request).id;
  std::string text = made.decision->to_json();
  log_debug("holder chosen", field("id", id), field("decision", text));
  decisions_.put(id, std::move(text));
  if (made.own_first) return {.own = true};
  const scheduler::NodeCandidate* best = made.decision->best();
  if (!best || !best->foreign) return {.own = own};
  const auto all = backends_.all_with(common_of(request).model);
  const auto chosen = std::ranges::find_if(all, [&](const auto& backend) {
    return scheduler::backend_node(backend->spec().name) == best->name;
  });
  return {.backend = *chosen};  // Nothing was awaited since it was found.
}

Decision HolderChoice::dry_run(const Request& request, bool own) const {
  return decide(request, own, {}).decision;
}

}  // namespace om::generation
