// Models of foreign servers beside our own: each request goes to a holder of its model, and to the
// next holder if that one fails.
#pragma once

#include <memory>
#include <string>

#include "engine/external/backends.h"
#include "generation/generation.h"
#include "generation/holder_choice.h"

namespace om::generation {

// On the io thread. References outlive it. Our own nodes are asked first, unless a foreign server
// is known to cost less (scheduler/backend_cost.h).
//
// An answer that breaks before its first text is asked of the next holder, invisibly. After it, a
// holder that can go on from a given text does so, if only plain text has come; else the client
// gets the error. If the client may pick the answer up, the side that begins it keeps it: our
// engines keep tokens, and such an answer is not handed to a foreign server once it has begun.
class FederatedGeneration final : public Generation {
 public:
  // `records` null: no answer of a foreign server can be picked up.
  FederatedGeneration(io::World& world, store::Store& store, Generation& own,
                      engine::Backends& backends, Records* records)
      : world_(world),
        store_(store),
        own_(own),
        backends_(backends),
        records_(records),
        choice_(own, backends) {}

  io::Task<Result<std::unique_ptr<Answer>>> chat(model::ChatRequest request,
                                                 io::Call call) override;
  io::Task<Result<std::unique_ptr<Answer>>> generate(model::GenerateRequest request,
                                                     io::Call call) override;
  io::Task<Result<model::Embedding>> embed(model::EmbedRequest request, io::Call call) override;
  io::Task<Result<int64_t>> count_tokens(model::ChatRequest request, io::Call call) override;
  Result<Decision> dry_run(const model::ChatRequest& request) override;
  Result<Decision> dry_run(const model::GenerateRequest& request) override;
  std::string explain(const std::string& request_id) const override;

 private:
  // `model`: the backend's name for it.
  io::Task<Result<model::Embedding>> embed_at(std::shared_ptr<engine::Backend> backend,
                                              std::string model, const model::EmbedRequest& request,
                                              io::Call call);
  bool is_own(std::string_view model);
  bool is_elsewhere(std::string_view model, const model::Standing& standing) const;
  template <class Request>
  Result<Decision> try_out(const Request& request);
  template <class Request>
  io::Task<Result<std::unique_ptr<Answer>>> load_elsewhere(Request request, io::Call call);
  template <class Request>
  io::Task<Result<std::unique_ptr<Answer>>> run(Request request, bool is_own, io::Call call);
  template <class Request>
  io::Task<Result<std::unique_ptr<Answer>>> run_kept(Request request, bool is_own, io::Call call);

  io::World& world_;
  store::Store& store_;
  Generation& own_;
  engine::Backends& backends_;
  Records* records_;
  HolderChoice choice_;
};

}  // namespace om::generation
