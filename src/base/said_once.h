// What is found again with each look, and is worth one line only.
#pragma once

#include <set>
#include <string>
#include <utility>

namespace om {

// Remembers what the last look found: whoever looks every few seconds says what is new. Not for
// several threads.
class SaidOnce {
 public:
  // True: the last look did not find it.
  bool is_new(std::string what) {
    const bool known = said_.contains(what);
    return found_.insert(std::move(what)).second && !known;
  }
  // What this look did not find is new when it comes back.
  void end_look() { said_ = std::exchange(found_, {}); }

 private:
  std::set<std::string> said_, found_;
};

}  // namespace om
