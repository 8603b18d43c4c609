// One answer while it is generated: turns a runner's tokens into parsed chunks, and survives the
// death of runners.
//
// A runner that dies before its first text is replaced invisibly. If it dies later, another one
// continues from the prompt and the transcript. The client sees every token exactly once: it gets
// text only from pieces in the transcript, and the next runner begins exactly after the transcript.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "generation/generation.h"
#include "generation/kept_pieces.h"
#include "generation/read_ahead.h"
#include "generation/transcript.h"
#include "prompt/render.h"
#include "prompt/stop_matcher.h"

namespace om::generation {

inline constexpr int kAttemptsMax = 3;           // Runners one answer may use.
inline constexpr int kNodesLostMax = 16;         // Nodes that may die under one answer.
inline constexpr int kAttemptsUnstartedMax = 2;  // Runners, while none of them has sent anything.

// How many runners and nodes may still die under one request. Few runners: the request itself may
// kill them. More nodes: a request does not kill a machine.
class RunnerBudget {
 public:
  // One more has died. `begun`: something of the answer was sent. False: none is left to try.
  bool spend(bool node_lost, bool begun) {
    if (node_lost) return ++nodes_lost_ <= kNodesLostMax;
    return ++runners_lost_ < (begun ? kAttemptsMax : kAttemptsUnstartedMax);
  }

 private:
  int runners_lost_ = 0, nodes_lost_ = 0;
};

// kMoveInterval: how often another place is looked for while the node drains. kMoveLook: how often
// it is checked whether the node drains.
inline constexpr std::chrono::seconds kMoveInterval{5};
inline constexpr std::chrono::milliseconds kMoveLook{200};

// What is settled before the first token.
struct RunPlan {
  scheduler::Target target;
  scheduler::AcquireOptions acquire;
  engine::CompletionRequest request;  // For the first runner; prompt, tokens, media, sampling.
  std::string media_marker;           // In its prompt; each runner has its own.
  prompt::Constraint constraint;
  prompt::AnswerFormat format;
  std::vector<std::string> caller_stops;  // The client is told if one of them ends the answer.
  bool want_context = false;              // Token ids of prompt and output in the last chunk.
  int context = 0;                        // Tokens prompt and output may take.
  int keep = 0;  // First tokens that stay when the answer outgrows the context.
  bool resume = true;
  bool one_call = false;                 // The answer ends with its first tool call.
  std::unique_ptr<Recording> recording;  // Null: not kept.
  uint64_t id_seed = 0;                  // For ids of tool calls; 0: by chance.
  io::TimePoint started{};
  std::chrono::nanoseconds load{};  // Time until the first runner was there.
  std::string left_out;             // As Route::left_out.
};

// What a caller reads when no runner is left to try.
Error runner_stopped(const Error& error);

engine::Constraint to_engine(prompt::Constraint constraint);

// A recorded answer keeps each piece before the client gets it. An answer that is picked up begins
// with the kept pieces, and goes on as after a runner's death.
//
// On the io thread. Destroying it cancels the generation and gives the slot back.
class AnswerRun final : public Answer {
 public:
  AnswerRun(io::World& world, scheduler::Scheduler& scheduler, RunPlan plan,
            std::unique_ptr<scheduler::Lease> lease, std::string node, const io::Call& call);
  ~AnswerRun() override;

  // Starts the first runner; errors of the request itself come from here.
  io::Task<Result<void>> open();

  io::Task<Result<model::Chunk>> next() override;
  std::optional<Result<model::Chunk>> ready() override;
  bool was_kept() const override { return kept_ && kept_->took_past(); }
  const Route& route() const override { return route_; }
  model::Usage counted() const override;

 private:
  // A piece's log probabilities, until its text is given out.
  struct Waiting {
    size_t offset = 0;  // Bytes of text before the piece.
    std::vector<model::Logprob> logprobs;
  };

  Result<void> take_kept();
  io::Task<Result<void>> go_on();
  // A place elsewhere, looked for while the answer goes on here.
  struct Move {
    std::unique_ptr<scheduler::Lease> lease;
    bool ended = false;
    io::CancelSource cancel;
  };
  static io::Task<void> find_place(scheduler::Scheduler& scheduler, scheduler::Target target,
                                   scheduler::AcquireOptions options, std::shared_ptr<Move> move);
  io::Task<Result<void>> move_if_wanted();
  void read_ahead_if_due();
  io::Task<Result<void>> start_runner();
  io::Task<Result<bool>> was_over();
  void begin_runner();
  void end_runner();  // What it took counts, though another one goes on.
  io::Task<Result<void>> recover(Error error);
  void append_generated(engine::CompletionRequest& request,
                        const std::vector<engine::Token>& generated) const;
  Result<engine::CompletionRequest> continuation(std::vector<engine::Token> generated) const;
  Result<void> take(engine::Piece piece);
  Result<void> hand_out(std::string_view text);
  void add(prompt::AnswerDelta delta);
  Result<void> end_without_runner(std::string_view rest, model::DoneReason reason,
                                  std::string stop_word);
  Result<void> end(model::DoneReason reason, std::string stop_word);
  void count_tokens() const;
  void take_logprobs(model::Chunk& chunk);
  void note_usage(const engine::Piece& piece);
  io::Task<Result<void>> add_context(model::Chunk& chunk);

  io::World& world_;
  scheduler::Scheduler& scheduler_;
  RunPlan plan_;
  io::CancelSource cancel_;
  io::OnCancel on_caller_;
  std::optional<io::OnCancel> on_superseded_;
  io::Call call_;
  Route route_;
  RunnerBudget budget_;

  ReadAhead read_ahead_;
  prompt::StopMatcher stops_;
  std::unique_ptr<prompt::AnswerParser> parser_;
  Transcript transcript_;
  std::vector<Waiting> waiting_;
  size_t given_out_ = 0;  // Bytes of generated text that have left the stop matcher.

  std::optional<KeptPieces> kept_;  // Only of a recorded answer.
  bool ended_ = false;
  bool has_call_ = false;       // A whole tool call was given out.
  std::shared_ptr<Move> move_;  // Null: the answer stays where it is.
  io::TimePoint looked_{};      // When a move, or a place for it, was last looked for.

  std::optional<model::Chunk> chunk_, last_;  // To be given out, in this order.
  std::optional<Error> lost_;                 // Seen in ready(), acted on in next().
  model::Usage usage_;
  io::TimePoint runner_started_{};
  std::optional<io::TimePoint> first_piece_;  // Of this runner; none yet: empty.
  std::chrono::nanoseconds earlier_eval_{};   // Of runners that died.

  std::unique_ptr<scheduler::Lease> lease_;
  std::unique_ptr<engine::Completion> completion_;  // Must go before the lease.
};

// An answer that is known already: load, unload, a rendered prompt.
class FixedAnswer final : public Answer {
 public:
  FixedAnswer(model::Chunk chunk, std::string node);
  io::Task<Result<model::Chunk>> next() override;
  const Route& route() const override { return route_; }

 private:
  model::Chunk chunk_;
  Route route_;
};

}  // namespace om::generation
