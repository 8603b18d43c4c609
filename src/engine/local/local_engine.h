// A model run by a llama-server child of this node.
#pragma once

#include <memory>

#include "engine/loadable_engine.h"
#include "engine/local/grammar_probe.h"
#include "engine/local/runner_process.h"

namespace om::engine {

// On the io thread. stop() must have returned before it is destroyed, and its completions must be
// gone.
class LocalEngine final : public LoadableEngine {
 public:
  // `probe`: what is known of the program's children; the first child that loads fills it.
  // `paces`: how fast earlier children were.
  LocalEngine(io::World& world, LaunchOptions options,
              std::shared_ptr<GrammarProbe> probe = std::make_shared<GrammarProbe>(),
              std::shared_ptr<RunnerPaces> paces = std::make_shared<RunnerPaces>());

  io::Task<Result<void>> load(io::Call call) override;
  io::Task<void> stop() override;
  bool alive() const override { return process_->alive(); }
  void on_death(std::function<void()> callback) override {
    process_->on_death(std::move(callback));
  }
  double load_progress() const override { return process_->load_progress(); }
  io::ProcessMemory memory() const override { return process_->memory(); }
  GraphicsUse graphics() const override { return process_->graphics(); }
  Blame blame() const override;

  const Properties& properties() const override { return properties_; }
  io::Task<Result<std::unique_ptr<Completion>>> complete(CompletionRequest request,
                                                         io::Call call) override;
  io::Task<Result<EmbeddingResult>> embed(std::vector<Token> tokens, bool normalize,
                                          io::Call call) override;
  io::Task<Result<std::vector<Token>>> tokenize(std::string text, bool add_special,
                                                io::Call call) override;
  io::Task<Result<std::string>> detokenize(std::vector<Token> tokens, io::Call call) override;

  // Breaks the requests in flight and kills the child, since a part that it needs is gone.
  void condemn(std::string reason) { process_->condemn(std::move(reason)); }

  RunnerProcess& process() { return *process_; }
  const RunnerProcess& process() const { return *process_; }

 private:
  io::Task<Result<void>> read_properties(io::Call call);
  io::Task<Result<void>> probe_grammar(io::Call call);
  // One small JSON request and its answer.
  io::Task<Result<boost::json::value>> ask(std::string method, std::string target, std::string body,
                                           io::Call call);
  // The same, watched, so that a child that hangs does not keep the caller for ever.
  io::Task<Result<boost::json::value>> ask_aside(std::string target, std::string body,
                                                 io::Call call);

  std::shared_ptr<RunnerProcess> process_;
  std::shared_ptr<GrammarProbe> probe_;
  std::shared_ptr<RunnerPaces> paces_;
  Properties properties_;
};

}  // namespace om::engine
