// Which requests may wait on a node: one bound for all its queues, fair between keys.
//
// When all places are taken, a newcomer takes the place of a request whose key holds more of them
// for its weight, or is refused. Of one key, batch requests lose their places before interactive
// ones. Pure. On the io thread.
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
    std::string key;  // The client. Empty: anonymous; all anonymous requests share this key.
    double weight = 1;
    bool batch = false;
  };
  struct Entered {
    bool accepted = false;
    // The guest that lost its place: to be refused as if it had just come.
    std::optional<uint64_t> displaced;
  };

  explicit WaitingRoom(size_t places) : places_(places) {}

  Entered enter(Guest guest);
  void leave(uint64_t id);  // Does nothing if it is not here.
  size_t size() const { return guests_.size(); }

 private:
  // The guest that the newcomer displaces; end(): none.
  std::vector<Guest>::iterator find_displaced(const Guest& newcomer);

  const size_t places_;
  std::vector<Guest> guests_;  // In the order they came.
};

}  // namespace om::scheduler
