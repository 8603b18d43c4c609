// A model over several nodes: a llama-server child here, parts of it elsewhere.
#pragma once

#include <list>

#include "engine/loadable_engine.h"
#include "engine/local/local_engine.h"
#include "engine/split/part_source.h"
#include "engine/split/tunnel_port.h"

namespace om::engine {

// One failure unit: if a part is lost, the child is ended at once. (Left alone it would hang, or
// abort at the next token.) On the io thread.
class SplitEngine final : public LoadableEngine {
 public:
  // `options.parts`: the nodes and their shares. References outlive it.
  SplitEngine(io::World& world, PartSource& source, LaunchOptions options,
              std::shared_ptr<GrammarProbe> probe, std::shared_ptr<RunnerPaces> paces);
  ~SplitEngine() override;

  io::Task<Result<void>> load(io::Call call) override;
  io::Task<void> stop() override;
  bool alive() const override { return main_ && !lost_ && main_->alive(); }
  void on_death(std::function<void()> callback) override { on_death_ = std::move(callback); }
  double load_progress() const override;  // By the weights sent so far.
  io::ProcessMemory memory() const override {
    return main_ ? main_->memory() : io::ProcessMemory{};
  }
  Blame blame() const override { return lost_ || !main_ ? Blame::none : main_->blame(); }

  const Properties& properties() const override { return main_->properties(); }
  io::Task<Result<std::unique_ptr<Completion>>> complete(CompletionRequest request,
                                                         io::Call call) override;
  io::Task<Result<EmbeddingResult>> embed(std::vector<Token> tokens, bool normalize,
                                          io::Call call) override;
  io::Task<Result<std::vector<Token>>> tokenize(std::string text, bool add_special,
                                                io::Call call) override;
  io::Task<Result<std::string>> detokenize(std::vector<Token> tokens, io::Call call) override;

 private:
  struct Held {
    std::unique_ptr<Part> part;
    std::unique_ptr<TunnelPort> port;  // Goes before the part.
  };
  io::Task<Result<void>> take_parts(io::Call call);
  io::Task<void> watch(Part& part, std::string node);
  void lose(std::string node, Error error);

  io::World& world_;
  PartSource& source_;
  LaunchOptions options_;
  std::shared_ptr<GrammarProbe> probe_;
  std::shared_ptr<RunnerPaces> paces_;
  std::list<Held> held_;
  std::unique_ptr<LocalEngine> main_;
  bool loaded_ = false, stopping_ = false;
  std::optional<Error> lost_;
  io::CancelSource loading_;
  std::function<void()> on_death_;
  io::TaskGroup tasks_;
};

}  // namespace om::engine
