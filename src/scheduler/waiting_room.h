// Who may wait on a node when places are few: one bound over all its queues, fair between keys.
//
// When all places are taken, one who comes gets a place only from somebody whose key holds more of
// them for its weight; a batch request goes before an interactive one of the same key. Pure. The io
// thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace om::scheduler {

// See above.
class WaitingRoom {
 public:
  struct Guest {
    uint64_t id = 0;  // Unique.
    std::string key;  // Whose request it is; empty: nobody's in particular, all share it.
    double weight = 1;
    bool batch = false;
  };
  struct Entered {
    bool accepted = false;
    // Had to leave for it: to be refused as if it had just come.
    std::optional<uint64_t> displaced;
  };

  explicit WaitingRoom(size_t places) : places_(places) {}

  Entered enter(Guest guest);
  void leave(uint64_t id);  // Nothing happens if it is not in it.
  size_t size() const { return guests_.size(); }

 private:
  // Whom the newcomer displaces; end(): nobody.
  std::vector<Guest>::iterator find_displaced(const Guest& newcomer);

  const size_t places_;
  std::vector<Guest> guests_;  // In the order they came.
};

}  // namespace om::scheduler
