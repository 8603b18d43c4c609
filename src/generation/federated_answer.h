// One answer from any holder of the model, this cluster or a foreign server; survives their
// failures.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>

#include "generation/generation.h"
#include "generation/holder_choice.h"

namespace om::generation {

// Errors after which another holder may do better.
bool is_holders_fault(const Error& error);

io::Task<Result<std::unique_ptr<Answer>>> ask(Generation& generation, model::ChatRequest request,
                                              io::Call call);
io::Task<Result<std::unique_ptr<Answer>>> ask(Generation& generation,
                                              model::GenerateRequest request, io::Call call);

// On the io thread. Destroying it cancels the generation.
class FederatedAnswer final : public Answer {
 public:
  static constexpr size_t kTextBytesMax = 4 << 20;  // Longer answers are not continued elsewhere.
  static constexpr int kHoldersMax = 8;             // Asked for one answer.

  using Request = HolderChoice::Request;

  // `own`: our cluster has the model too.
  FederatedAnswer(io::World& world, Generation& own, bool is_own, HolderChoice& choice,
                  Request request, io::Call call);
  ~FederatedAnswer() override;

  // Asks the best holder, then the next ones.
  io::Task<Result<void>> open();
  // Instead of open(): `chunk` is the answer so far; next() asks for the rest.
  void assume(model::Chunk chunk);
  io::Task<Result<model::Chunk>> next() override;
  const Route& route() const override { return route_; }

 private:
  const model::RequestCommon& common() const { return common_of(request_); }
  bool can_be_continued() const;
  io::Task<Result<void>> open_own();
  io::Task<Result<void>> open_backend(const std::shared_ptr<engine::Backend>& backend);
  Result<engine::UpstreamRequest> upstream(const engine::Backend& backend) const;
  Request continued() const;  // For our own engines.
  Error with_own_reason(Error error) const;
  io::Task<Result<void>> go_on(Error error);
  std::optional<model::Chunk> end_by_limit() const;
  void leave();                             // Ends the holder's answer that runs.
  bool drop_repeated(model::Chunk& chunk);  // True: nothing is left of the chunk.
  void note(model::Chunk& chunk);
  void complete(model::Usage& usage) const;

  io::World& world_;
  Generation& own_;
  const bool is_own_;
  bool own_left_;
  std::optional<Error> own_error_;  // Why our own nodes do not answer.
  HolderChoice& choice_;
  Request request_;
  io::Call call_;
  Route route_;
  std::set<std::string> asked_;
  io::TimePoint started_{}, first_{};  // first_: when the first text came.

  engine::Emitted emitted_;
  int64_t said_before_ = 0;    // Tokens of emitted_ from earlier holders.
  int64_t prompt_tokens_ = 0;  // As the first holder told; 0: not told.
  bool begun_ = false, plain_ = true;
  bool may_repeat_ = false;  // The present holder may begin with the text said before.

  std::unique_ptr<engine::BackendRequest> backend_;
  std::unique_ptr<engine::ExternalAnswer> external_;
  std::unique_ptr<Answer> own_answer_;
};

}  // namespace om::generation
