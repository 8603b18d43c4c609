// Parts of a model without a model: what a ggml-rpc-server, and a llama-server that works on some,
// do with the connections between them. https://github.com/ggml-org/llama.cpp/tree/master/tools/rpc
//
// A part is sent its weights and then, with each token, a number that it changes as only who has
// all of these weights can: a connection that comes out at the wrong part, or loses a byte, shows.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "io/event.h"
#include "io/world.h"

namespace om::sim {

// Serves one connection after the other until the token is cancelled. io_failed: cannot listen.
io::Task<Result<void>> serve_part(io::World& world, uint16_t port, io::CancelToken stop);

// The other side: the parts of one llama-server. Its coroutines must have ended when it goes.
class FakeParts {
 public:
  // `servers` as --rpc has them: "127.0.0.1:5000,127.0.0.1:5001".
  FakeParts(io::World& world, std::string_view servers);
  ~FakeParts();

  // Both end with `unavailable` once a part is lost, and with `cancelled`.
  io::Task<Result<void>> load(io::CancelToken stop);
  // What a token needs of every part. Callers wait for each other.
  io::Task<Result<void>> pass(io::CancelToken stop);

 private:
  struct Held {
    io::Endpoint at;
    std::unique_ptr<io::Stream> stream;
    uint64_t key = 0;  // Of its weights.
  };
  io::Task<Result<void>> load_one(Held& held);
  io::Task<Result<void>> pass_all();
  void abort();

  io::World& world_;
  std::vector<Held> held_;
  bool passing_ = false;
  io::Event passed_;
};

}  // namespace om::sim
