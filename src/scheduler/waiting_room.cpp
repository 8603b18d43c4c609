#include "scheduler/waiting_room.h"

#include <algorithm>
#include <map>

namespace om::scheduler {

std::vector<WaitingRoom::Guest>::iterator WaitingRoom::find_displaced(const Guest& newcomer) {
  std::map<std::string_view, double> held;  // Places for the key's weight.
  for (const Guest& guest : guests_) held[guest.key] += 1 / guest.weight;
  std::string_view greediest = newcomer.key;
  double most = held[newcomer.key] + 1 / newcomer.weight;
  for (const auto& [key, share] : held) {
    // With one place less it must still have no fewer than the newcomer's key will have.
    if (key == newcomer.key || share <= most) continue;
    most = share;
    greediest = key;
  }
  auto latest = guests_.end();
  for (auto guest = guests_.begin(); guest != guests_.end(); ++guest) {
    if (guest->key != greediest) continue;
    // Among its own only one that matters less makes place.
    if (greediest == newcomer.key && (newcomer.batch || !guest->batch)) continue;
    if (latest == guests_.end() || guest->batch || !latest->batch) latest = guest;
  }
  return latest;
}

WaitingRoom::Entered WaitingRoom::enter(Guest guest) {
  Entered entered;
  if (places_ == 0) return entered;
  if (guests_.size() >= places_) {
    const auto displaced = find_displaced(guest);
    if (displaced == guests_.end()) return entered;
    entered.displaced = displaced->id;
    guests_.erase(displaced);
  }
  entered.accepted = true;
  guests_.push_back(std::move(guest));
  return entered;
}

void WaitingRoom::leave(uint64_t id) {
  const auto found = std::ranges::find(guests_, id, &Guest::id);
  if (found != guests_.end()) guests_.erase(found);
}

}  // namespace om::scheduler
