// Where parts on other nodes come from: the scheduler's leases, or a test.
#pragma once

#include <memory>
#include <string>

#include "engine/split/split_plan.h"
#include "io/network.h"

namespace om::engine {

// Memory and arithmetic of another node, held for one model. Destroying it gives them back; its
// streams must be gone by then. On the io thread.
class Part {
 public:
  virtual ~Part() = default;
  // A stream to its ggml-rpc-server, inside the TLS between nodes.
  virtual io::Task<Result<std::unique_ptr<io::Stream>>> connect(io::Call call) = 0;
  // Returns when the part is lost, with the reason: its process ended, or its node died or fell
  // silent. cancelled: by the caller.
  virtual io::Task<Error> watch(io::CancelToken cancel) = 0;
};

// Gives parts to a SplitEngine. On the io thread; outlives the engines it is given to.
class PartSource {
 public:
  virtual ~PartSource() = default;
  // Reserves the memory and starts the process there. Errors as of a lease.
  virtual io::Task<Result<std::unique_ptr<Part>>> take(PartShare share, std::string model,
                                                       io::Call call) = 0;
};

}  // namespace om::engine
