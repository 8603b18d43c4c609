#include "peer/lease_table.h"

#include <algorithm>

#include "base/log.h"

namespace om::peer {
namespace {

constexpr size_t kLeaseIdLetters = 26;  // Of 36: more than 128 bits.
constexpr std::chrono::seconds kSweepInterval{1};

}  // namespace

LeaseTable::LeaseTable(io::World& world) : world_(world), tasks_(world.executor, world.clock) {}
LeaseTable::~LeaseTable() = default;

Result<std::string> LeaseTable::add(std::unique_ptr<scheduler::Lease> lease, std::string holder,
                                    bool is_part) {
  if (leases_.size() >= kLeasesMax) {
    return fail(Errc::overloaded, "this node has given {} leases", kLeasesMax);
  }
  std::string id = world_.random.letters(kLeaseIdLetters);
  auto held = std::make_shared<HeldLease>();
  held->lease = std::move(lease);
  held->holder = std::move(holder);
  held->used = world_.clock.now();
  held->is_part = is_part;
  leases_.emplace(id, std::move(held));
  return id;
}

Result<std::shared_ptr<HeldLease>> LeaseTable::find(const std::string& id,
                                                    std::string_view holder) {
  const auto found = leases_.find(id);
  if (found == leases_.end() || found->second->holder != holder) {
    return fail(Errc::not_found, "this lease has ended");
  }
  return found->second;
}

void LeaseTable::remove(const std::string& id, std::string_view holder, bool failed) {
  const auto found = leases_.find(id);
  if (found == leases_.end() || found->second->holder != holder) return;
  if (failed) {
    found->second->lease->report_failure(
        Error{Errc::unavailable, "another node could not go on with it"});
  }
  found->second->ended.cancel();
  leases_.erase(found);
}

size_t LeaseTable::requests() const {
  return static_cast<size_t>(
      std::ranges::count_if(leases_, [](const auto& item) { return !item.second->is_part; }));
}

void LeaseTable::remove_all_of(std::string_view holder) {
  std::erase_if(leases_, [holder](const auto& item) {
    if (item.second->holder != holder) return false;
    item.second->ended.cancel();
    return true;
  });
}

void LeaseTable::start() { tasks_.spawn(sweep()); }

io::Task<void> LeaseTable::sweep() {
  const io::CancelToken token = tasks_.token();
  while (true) {
    const auto slept = co_await world_.clock.sleep_for(kSweepInterval, {io::kNever, token});
    if (!slept) co_return;
    const io::TimePoint now = world_.clock.now();
    const size_t given_back = std::erase_if(leases_, [now](const auto& item) {
      return item.second->users == 0 && now - item.second->used > kLeaseIdleMax;
    });
    if (given_back > 0) log_info("leases given back that nobody used", field("count", given_back));
  }
}

io::Task<void> LeaseTable::stop() {
  co_await tasks_.stop();
  for (const auto& [id, held] : leases_) held->ended.cancel();
  leases_.clear();
}

}  // namespace om::peer
