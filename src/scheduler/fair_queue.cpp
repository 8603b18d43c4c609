#include "scheduler/fair_queue.h"

#include <algorithm>
#include <tuple>

#include "base/check.h"

namespace om::scheduler {

int FairQueue::class_of(const QueuedRequest& request, io::TimePoint now) {
  const auto risen = now > request.since ? (now - request.since) / io::Duration(kAgeing) : 0;
  return static_cast<int>(std::max<int64_t>(0, request.priority - risen));
}

bool FairQueue::goes_before(const Entry& a, const Entry& b, io::TimePoint now) {
  return std::tuple(class_of(a.request, now), a.tag, a.order) <
         std::tuple(class_of(b.request, now), b.tag, b.order);
}

double FairQueue::tag_for(const QueuedRequest& request) const {
  const auto key = keys_.find(request.key);
  return key == keys_.end() ? virtual_time_ : std::max(virtual_time_, key->second.last_tag);
}

void FairQueue::push(QueuedRequest request) {
  request.weight = std::clamp(request.weight, kWeightMin, kWeightMax);
  request.priority = std::clamp(request.priority, 0, kPrioritiesMax - 1);
  request.work = std::max(request.work, 0.0);
  const double tag = tag_for(request);
  Key& key = keys_[request.key];
  key.weight = request.weight;
  key.last_tag = tag + request.work / request.weight;
  key.waiting++;
  deadlines_ += request.deadline == io::kNever ? 0 : 1;
  entries_.push_back(Entry{std::move(request), tag, ++order_});
}

void FairQueue::take(Entries::iterator place) {
  const auto key = keys_.find(place->request.key);
  CHECK(key != keys_.end() && key->second.waiting > 0);
  key->second.waiting--;
  deadlines_ -= place->request.deadline == io::kNever ? 0 : 1;
  entries_.erase(place);
  // What a key has had is remembered only while it could matter: behind the virtual time it has
  // no more credit or debt than a new one.
  std::erase_if(keys_, [&](const auto& item) {
    return item.second.waiting == 0 && item.second.last_tag <= virtual_time_;
  });
  if (entries_.empty()) {
    keys_.clear();
    virtual_time_ = 0;
  }
}

FairQueue::Entries::const_iterator FairQueue::first(io::TimePoint now) const {
  auto best = entries_.end();
  for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
    if (entry->request.deadline < now) continue;
    if (best == entries_.end() || goes_before(*entry, *best, now)) best = entry;
  }
  return best;
}

std::optional<uint64_t> FairQueue::peek(io::TimePoint now) const {
  const auto best = first(now);
  if (best == entries_.end()) return std::nullopt;
  return best->request.id;
}

FairQueue::Entries::iterator FairQueue::find(uint64_t id) {
  return std::ranges::find(entries_, id, [](const Entry& entry) { return entry.request.id; });
}

bool FairQueue::serve(uint64_t id) {
  const auto found = find(id);
  if (found == entries_.end()) return false;
  virtual_time_ = std::max(virtual_time_, found->tag);
  take(found);
  return true;
}

bool FairQueue::remove(uint64_t id) {
  const auto found = find(id);
  if (found == entries_.end()) return false;
  // Its work was not done: its key need not pay for it.
  Key& key = keys_.at(found->request.key);
  key.last_tag -= found->request.work / found->request.weight;
  take(found);
  return true;
}

std::vector<uint64_t> FairQueue::take_expired(io::TimePoint now) {
  std::vector<uint64_t> expired;
  if (deadlines_ == 0) return expired;
  for (const Entry& entry : entries_) {
    if (entry.request.deadline <= now) expired.push_back(entry.request.id);
  }
  for (uint64_t id : expired) CHECK(remove(id));
  return expired;
}

std::optional<io::TimePoint> FairQueue::next_deadline() const {
  std::optional<io::TimePoint> next;
  if (deadlines_ == 0) return next;
  for (const Entry& entry : entries_) {
    if (entry.request.deadline == io::kNever) continue;
    next = next ? std::min(*next, entry.request.deadline) : entry.request.deadline;
  }
  return next;
}

size_t FairQueue::size_of(const std::string& key) const {
  const auto found = keys_.find(key);
  return found == keys_.end() ? 0 : found->second.waiting;
}

size_t FairQueue::ahead_of(const QueuedRequest& request, io::TimePoint now) const {
  const Entry newcomer{request, tag_for(request), order_ + 1};
  return static_cast<size_t>(std::ranges::count_if(
      entries_, [&](const Entry& entry) { return goes_before(entry, newcomer, now); }));
}

}  // namespace om::scheduler
