// An answer's record: what it said so far, kept so that its client can pick it up again: at this
// node after a broken connection, at another node after this one's death. Clients ask for a record
// with `Idempotency-Key`. On the io thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "io/cancel.h"
#include "io/task.h"

namespace om::generation {

// The record of one answer under its key. Owned by the node and request that took it last.
class Recording {
 public:
  virtual ~Recording() = default;
  // The lines that earlier owners added; once.
  virtual std::string take_past() = 0;
  // Returns when the lines would outlive this node (or no other node can be reached): then the
  // client may get them. cancelled: somebody else has taken the answer.
  virtual io::Task<Result<void>> add(std::string lines, io::Call call) = 0;
  // Cancelled when somebody else takes it.
  virtual io::CancelToken superseded() const = 0;
};

// Where answers are kept, over all nodes.
class Records {
 public:
  virtual ~Records() = default;
  // Whether the answer can go on from these lines of earlier owners. No function: from all.
  using Fits = std::function<bool(std::string_view past)>;
  // Takes the answer from its owner, on whichever node, so that it is never generated twice.
  // `fingerprint` tells requests apart; invalid_argument: another request has this key. A past that
  // does not fit is forgotten: the answer begins anew.
  virtual io::Task<Result<std::unique_ptr<Recording>>> take(std::string name,
                                                            std::string fingerprint, Fits fits,
                                                            io::Call call) = 0;
};

}  // namespace om::generation
