// What an answer has said so far, kept so that its client can pick it up again: at this node after
// a broken connection, at another one after this one's death. Clients ask for it with
// `Idempotency-Key`. On the io thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "io/cancel.h"
#include "io/task.h"

namespace om::generation {

// One answer under its key, owned by who took it last.
class Recording {
 public:
  virtual ~Recording() = default;
  // What earlier owners added; once.
  virtual std::string take_past() = 0;
  // Returns when the lines would outlive this node, if any other one can be reached: they may be
  // told to the client then. cancelled: somebody else has taken the answer.
  virtual io::Task<Result<void>> add(std::string lines, io::Call call) = 0;
  // Cancelled when somebody else takes it.
  virtual io::CancelToken superseded() const = 0;
};

// Where answers are kept, over all nodes.
class Records {
 public:
  virtual ~Records() = default;
  // Whether the answer can go on from these lines, of earlier owners; empty: from all.
  using Fits = std::function<bool(std::string_view past)>;
  // Takes the answer from whoever works on it, wherever that is: there is never a second
  // generation. `fingerprint` tells the request; invalid_argument: another one has this key. What
  // does not fit is forgotten: the key is a new request's.
  virtual io::Task<Result<std::unique_ptr<Recording>>> take(std::string name,
                                                            std::string fingerprint, Fits fits,
                                                            io::Call call) = 0;
};

}  // namespace om::generation
