// Whether a llama-server advances a grammar over text that was said before ("generation_prompt").
// Only such a runner can go on with an answer under a schema: another one would begin the grammar
// anew, in the middle of the text. No build tells it, so the first child of a program is tested.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace om::engine {

// What the children of one program are known to do; shared by their engines, on the io thread.
class GrammarProbe {
 public:
  // The test: a completion of one token, which only an advanced grammar forces. Not streamed.
  static std::string body();

  bool is_due() const { return !advances_; }
  void take(std::string_view content);  // Of the answer to body().
  // unsupported: these children do not advance grammars. Unknown counts as yes.
  Result<void> check() const;

 private:
  std::optional<bool> advances_;
};

}  // namespace om::engine
