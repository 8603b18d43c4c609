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
  end_if([&id](const auto& item) { return item.first == id; });
}

template <class Condition>
size_t LeaseTable::end_if(Condition condition) {
  return std::erase_if(leases_, [&condition](const auto& item) {
    if (!condition(item)) return false;
    if (item.second->running) item.second->running->cancel();
    item.second->ended.cancel();
    return true;
  });
}

size_t LeaseTable::requests() const {
  return static_cast<size_t>(
      std::ranges::count_if(leases_, [](const auto& item) { return !item.second->is_part; }));
}

void LeaseTable::remove_all_of(std::string_view holder) {
  end_if([holder](const auto& item) { return item.second->holder == holder; });
}

std::shared_ptr<RunningCompletion> LeaseTable::run(std::shared_ptr<HeldLease> held,
                                                   std::string body) {
  if (held->running) held->running->cancel();
  auto running = std::make_shared<RunningCompletion>(world_.clock);
  held->running = running;
  tasks_.spawn(run_to_end(std::move(held), running, std::move(body)));
  return running;
}

io::Task<void> LeaseTable::run_to_end(std::shared_ptr<HeldLease> held,
                                      std::shared_ptr<RunningCompletion> running,
                                      std::string body) {
  co_await running->run(*held->lease, std::move(body));
}

void LeaseTable::start() { tasks_.spawn(sweep()); }

io::Task<void> LeaseTable::sweep() {
  const io::CancelToken token = tasks_.token();
  while (true) {
    const auto slept = co_await world_.clock.sleep_for(kSweepInterval, {io::kNever, token});
    if (!slept) co_return;
    const io::TimePoint now = world_.clock.now();
    const size_t given_back = end_if([now](const auto& item) {
      return item.second->users == 0 && now - item.second->used > kLeaseIdleMax;
    });
    if (given_back > 0) log_info("leases given back that nobody used", field("count", given_back));
  }
}

io::Task<void> LeaseTable::stop() {
  end_if([](const auto&) { return true; });
  co_await tasks_.stop();
}

}  // namespace om::peer
