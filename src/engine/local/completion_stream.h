// A running /completion answer of a llama-server child.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "engine/local/runner_process.h"
#include "engine/local/stream_event.h"

namespace om::engine {

// Reads events off one response. An end of the stream without the event `"stop":true` means that
// the runner died. On the io thread; used by one coroutine at a time.
class CompletionStream final : public Completion {
 public:
  CompletionStream(std::shared_ptr<RunnerProcess> runner, CompletionRequest request,
                   int context_length, io::Call call);

  // Sends the request. invalid_argument, unsupported: refused, `what` is the runner's own body.
  io::Task<Result<void>> open();

  io::Task<Result<Piece>> next() override;
  std::optional<Result<Piece>> ready() override;

 private:
  io::Task<Result<Piece>> finish(StreamEvent event);
  io::Task<Result<std::string>> withheld_text();
  io::Task<Error> broken(Error error);
  Error garbage(Error error);
  std::optional<Piece> take(StreamEvent& event);
  void add_logprobs(std::vector<model::Logprob> logprobs);
  bool context_is_full() const;

  std::shared_ptr<RunnerProcess> runner_;
  CompletionRequest request_;
  int context_length_;
  io::Call call_;            // The caller's.
  io::CancelSource cancel_;  // The caller's cancel, or the runner's end.
  std::optional<RunnerProcess::Watch> watch_;
  std::unique_ptr<http::ClientResponse> response_;
  EventLines lines_;
  std::optional<StreamEvent> final_;  // Read but not given out yet.
  // Tokens whose text has not come yet.
  std::vector<Token> held_tokens_;
  std::vector<model::Logprob> held_logprobs_;
  int64_t predicted_ = 0, evaluated_ = 0;
  bool ended_ = false;
  io::OnCancel on_caller_, on_runner_;
};

// Our error for a refusal with this HTTP status.
Errc errc_of_status(int status);

}  // namespace om::engine
