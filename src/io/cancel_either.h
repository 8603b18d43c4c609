// For work that two may call off: who asked for it, and who does it.
#pragma once

#include "io/cancel.h"

namespace om::io {

// Its token is cancelled when either of two is, as long as it lives. io thread only.
class CancelEither {
 public:
  CancelEither(const CancelToken& one, const CancelToken& other)
      : on_one_(one, [this] { source_.cancel(); }),
        on_other_(other, [this] { source_.cancel(); }) {}

  CancelToken token() const { return source_.token(); }
  bool cancelled() const { return source_.cancelled(); }

 private:
  CancelSource source_;
  OnCancel on_one_, on_other_;
};

}  // namespace om::io
