// The leases that other nodes hold on this node's runners.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "io/task_group.h"
#include "io/world.h"
#include "scheduler/scheduler.h"

namespace om::peer {

// A lease that nobody uses for so long is given back: its holder died.
inline constexpr std::chrono::seconds kLeaseIdleMax{15};
inline constexpr size_t kLeasesMax = 4096;

// One lease while somebody works with it. On the io thread.
struct HeldLease {
  std::unique_ptr<scheduler::Lease> lease;
  std::string holder;  // Name of the node that took it.
  bool is_part = false;
  io::CancelSource ended;  // Cancelled when it is given back or taken away.
  int users = 0;           // Operations under way.
  io::TimePoint used{};
};

// On the io thread; stop() must have returned before it is destroyed.
class LeaseTable {
 public:
  explicit LeaseTable(io::World& world);
  ~LeaseTable();

  // overloaded: kLeasesMax are held.
  Result<std::string> add(std::unique_ptr<scheduler::Lease> lease, std::string holder,
                          bool is_part = false);
  // not_found: unknown, expired, or another node's.
  Result<std::shared_ptr<HeldLease>> find(const std::string& id, std::string_view holder);
  void remove(const std::string& id, std::string_view holder, bool failed);
  // Gives back all that a node held: it is gone.
  void remove_all_of(std::string_view holder);

  void start();
  io::Task<void> stop();
  size_t size() const { return leases_.size(); }
  // Without parts of models, which last as long as their models.
  size_t requests() const;

 private:
  io::Task<void> sweep();

  io::World& world_;
  std::map<std::string, std::shared_ptr<HeldLease>> leases_;
  io::TaskGroup tasks_;
};

// Marks a lease as in use as long as it lives.
class LeaseUse {
 public:
  LeaseUse(io::Clock& clock, std::shared_ptr<HeldLease> lease)
      : clock_(clock), lease_(std::move(lease)) {
    lease_->users++;
  }
  ~LeaseUse() {
    lease_->users--;
    lease_->used = clock_.now();
  }
  LeaseUse(const LeaseUse&) = delete;
  LeaseUse& operator=(const LeaseUse&) = delete;

  io::CancelToken ended() const { return lease_->ended.token(); }
  scheduler::Lease& lease() { return *lease_->lease; }
  engine::Engine& engine() { return lease_->lease->engine(); }

 private:
  io::Clock& clock_;
  std::shared_ptr<HeldLease> lease_;
};

}  // namespace om::peer
