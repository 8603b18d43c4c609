// Whether a llama-server advances a grammar over text that was said before ("generation_prompt").
// An answer under a schema can only go on with a runner that does: one that does not would begin
// the grammar anew, in the midst of the text. Which builds do is written nowhere, so the first
// child of a program is asked.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace om::engine {

// What the children of one program are known to do; shared by their engines, on the io thread.
class GrammarProbe {
 public:
  // A completion of one token that only an advanced grammar lets begin as it must. Not streamed.
  static std::string body();

  bool is_due() const { return !advances_; }
  void take(std::string_view content);  // Of the answer to body().
  // unsupported: it is known that they do not. Unknown counts as yes: the seam is checked by tests.
  Result<void> check() const;

 private:
  std::optional<bool> advances_;
};

}  // namespace om::engine
