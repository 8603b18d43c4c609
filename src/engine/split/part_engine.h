// A part of another node's model: one ggml-rpc-server child. It answers no requests; the other
// node's llama-server works on it through a tunnel.
// https://github.com/ggml-org/llama.cpp/tree/master/tools/rpc
#pragma once

#include "engine/loadable_engine.h"
#include "io/task_group.h"

namespace om::engine {

// ggml-rpc-server knows neither names nor keys, so it listens on loopback only; it serves one
// connection at a time. On the io thread.
class PartEngine final : public LoadableEngine {
 public:
  PartEngine(io::World& world, LaunchOptions options);
  ~PartEngine() override;

  io::Task<Result<void>> load(io::Call call) override;
  io::Task<void> stop() override;
  bool alive() const override { return child_ && child_->running(); }
  void on_death(std::function<void()> callback) override { on_death_ = std::move(callback); }
  double load_progress() const override { return loaded_ ? 1 : 0; }
  io::ProcessMemory memory() const override {
    return child_ ? child_->memory() : io::ProcessMemory{};
  }
  const Properties& properties() const override { return properties_; }
  std::optional<io::Endpoint> part_endpoint() const override;

  io::Task<Result<std::unique_ptr<Completion>>> complete(CompletionRequest, io::Call) override;
  io::Task<Result<EmbeddingResult>> embed(std::vector<Token>, bool, io::Call) override;
  io::Task<Result<std::vector<Token>>> tokenize(std::string, bool, io::Call) override;
  io::Task<Result<std::string>> detokenize(std::vector<Token>, io::Call) override;

 private:
  Result<uint16_t> free_port();
  io::Task<Result<void>> wait_ready(io::Call call);
  io::Task<void> read_output();
  io::Task<void> watch_exit();

  io::World& world_;
  LaunchOptions options_;
  Properties properties_;
  std::unique_ptr<io::Child> child_;
  uint16_t port_ = 0;
  bool loaded_ = false, stopping_ = false;
  std::string last_line_;
  std::function<void()> on_death_;
  io::TaskGroup tasks_;
};

}  // namespace om::engine
