// A llama-server without a model: what the gateway's child looks like from outside, with faults on
// order. The next token depends on all tokens before it and nothing else, so an answer continued
// elsewhere from prompt and emitted tokens must equal the unbroken one.
//
// Tokens are bytes: id = byte value. Speaks /health, /props, /tokenize, /detokenize and
// /completion.
#pragma once

#include <functional>
#include <string>

#include "http/server.h"
#include "io/world.h"

namespace om::sim {

struct FakeLlamaBehaviour {
  io::Duration load_time{};
  io::Duration token_time{};  // Between two tokens.
  int context_length = 4096;
  int slots = 4;
  bool never_ends = false;               // Only n_predict ends an answer.
  std::function<std::string()> content;  // Given: the text of each token, instead of its byte.
  // Counted over the life of the process; 0: never.
  uint64_t crash_after_tokens = 0;
  uint64_t wedge_after_tokens = 0;    // Healthy, but no more tokens.
  uint64_t garbage_after_tokens = 0;  // Then `garbage`, and the end of the answer.
  std::string garbage = "data: {\"content\":\xff\xfe\n\n";
  bool fails_to_load = false;
  // Given: what loading and each token wait for. False: they are not to come.
  std::function<io::Task<bool>()> before_loaded, before_token;
};

// The answer to a prompt: what every unbroken run of at most `count` tokens gives.
std::string fake_answer(std::string_view prompt, size_t count);

class FakeLlama {
 public:
  // `die` ends the process abruptly; it may be called at any time while serving.
  FakeLlama(io::World& world, FakeLlamaBehaviour behaviour, std::function<void()> die);
  ~FakeLlama();

  // Loads, listens and serves until the token is cancelled. io_failed: cannot listen.
  io::Task<Result<void>> serve(io::Endpoint at, io::CancelToken stop);
  uint64_t tokens_sent() const { return sent_; }

 private:
  io::Task<void> handle(http::Request& request, http::BodyReader& body,
                        http::ResponseWriter& response);
  io::Task<void> complete(http::Request& request, std::string body, http::ResponseWriter& response);
  // False: the process is to die or has nothing more to say.
  io::Task<bool> misbehave(http::Request& request, http::ResponseWriter& response);

  io::World& world_;
  FakeLlamaBehaviour behaviour_;
  std::function<void()> die_;
  bool loaded_ = false;
  uint64_t sent_ = 0;
  http::Server server_;
};

}  // namespace om::sim
