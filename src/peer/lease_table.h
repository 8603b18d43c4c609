// The leases that other nodes hold on this node's runners.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "io/task_group.h"
#include "io/world.h"
#include "peer/running_completion.h"
#include "scheduler/scheduler.h"

namespace om::peer {

// A lease that is unused this long is given back: its holder died.
inline constexpr std::chrono::seconds kLeaseIdleMax{15};
inline constexpr size_t kLeasesMax = 4096;

// One lease that another node holds. On the io thread.
struct HeldLease {
  std::unique_ptr<scheduler::Lease> lease;
  std::shared_ptr<RunningCompletion> running;  // Null: no completion was asked for.
  std::string holder;                          // Name of the node that took it.
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
  // Gives back all leases of a node that is gone.
  void remove_all_of(std::string_view holder);

  // Begins a completion that goes on when its reader is gone, until it ends or the lease does.
  std::shared_ptr<RunningCompletion> run(std::shared_ptr<HeldLease> held, std::string body);

  void start();
  io::Task<void> stop();
  size_t size() const { return leases_.size(); }
  // Without parts of models, which last as long as their models.
  size_t requests() const;

 private:
  using Leases = std::map<std::string, std::shared_ptr<HeldLease>>;

  io::Task<void> sweep();
  static io::Task<void> run_to_end(std::shared_ptr<HeldLease> held,
                                   std::shared_ptr<RunningCompletion> running, std::string body);
  // Ends the leases for which `condition` holds; a running completion ends first.
  template <class Condition>
  size_t end_if(Condition condition);

  io::World& world_;
  Leases leases_;
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

 private:
  io::Clock& clock_;
  std::shared_ptr<HeldLease> lease_;
};

}  // namespace om::peer
