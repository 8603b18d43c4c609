// The facts of a simulated cluster: one linearizable history that its nodes share, and every way of
// failing that metadata/metadata.h allows, by seed.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "io/event.h"
#include "metadata/metadata.h"
#include "sim/world.h"

namespace om::sim {

// Chances are per call. Without any of them it only takes time.
struct MetadataFaults {
  std::chrono::microseconds delay_min{100}, delay_max{3'000};  // There, and again back.
  double slow_chance = 0;                                      // One way takes `slow` instead.
  std::chrono::milliseconds slow{2'000};
  double refused_chance = 0;     // not_leader: nothing was done.
  double unknown_chance = 0;     // unavailable: done or not, one as likely as the other.
  double lost_lease_chance = 0;  // Per keep_alive(): the lease has ended before.
  double forget_chance = 0;      // Per change: history up to it is compacted.

  bool any() const {
    return slow_chance + refused_chance + unknown_chance + lost_lease_chance + forget_chance > 0;
  }
};

// On the io thread. Must outlive the nodes' Metadata; they must be stopped first.
class SharedMetadata {
 public:
  explicit SharedMetadata(World& world) : world_(world), changed_(world.clock()) {}
  ~SharedMetadata();

  MetadataFaults faults;

  // What the node with this name uses; a name may be asked for again after a restart.
  std::unique_ptr<metadata::Metadata> node(std::string name);

  // Cut off, a node reaches no majority: not_leader, watches stand still; answers on their way are
  // lost. Healed, its watches go on where they were.
  void cut(const std::string& node);
  void heal(const std::string& node);
  void forget_history();  // Watches from before are told corrupt.
  void end_all_leases();  // As time would, of holders that are gone.
  void end_lease(metadata::LeaseId lease);

  // For oracles: the truth, without a call.
  metadata::Snapshot all() const;
  metadata::Revision revision() const { return revision_; }
  struct Change {
    io::TimePoint at{};
    std::vector<metadata::Event> events;
  };
  // Also of what is compacted. Null: nothing changed there.
  const Change* change(metadata::Revision revision) const;
  io::TimePoint now() const { return world_.clock().now(); }
  std::function<void(metadata::LeaseId)> on_lease_end;  // Called before its keys go.

 private:
  friend class NodeMetadata;
  friend class NodeWatch;
  static constexpr metadata::Revision kFirstRevision = 1;  // With nothing in it.
  static constexpr size_t kRevisionsMax = 10'000;          // Of the log.
  static constexpr std::chrono::minutes kRequestLife{10};

  struct Lease {
    std::chrono::seconds time_to_live{};
    io::Clock::TimerId timer = 0;
  };
  struct Request {
    metadata::Revision revision = 0;
    io::TimePoint at{};
  };

  bool is_cut(const std::string& node) const { return cut_.contains(node); }
  bool holds(const metadata::Compare& compare) const;
  Result<metadata::Commit> apply(const metadata::Transaction& transaction);
  metadata::Snapshot list(const std::string& prefix) const;
  metadata::LeaseId grant(std::chrono::seconds time_to_live);
  bool keep_alive(metadata::LeaseId lease);
  bool has_lease(metadata::LeaseId lease) const { return leases_.contains(lease); }
  // corrupt: forgotten. Nothing may have changed: empty.
  Result<std::vector<metadata::Event>> changes(const std::string& prefix, metadata::Revision& from);

  void put(const metadata::Operation& operation, std::vector<metadata::Event>& events);
  void remove(const std::string& key, std::vector<metadata::Event>& events);
  void remove_prefix(const std::string& prefix, std::vector<metadata::Event>& events);
  void end_change(std::vector<metadata::Event> events);
  void forget_requests();

  World& world_;
  metadata::Revision revision_ = kFirstRevision, compacted_ = 0;
  std::map<std::string, metadata::Entry> entries_;
  // Of the revisions after compacted_; in the first nothing happened.
  std::deque<std::vector<metadata::Event>> log_{std::vector<metadata::Event>()};
  std::vector<Change> changes_;  // From the first revision on that has one.
  std::map<std::string, Request> requests_;
  std::map<metadata::LeaseId, Lease> leases_;
  std::set<std::string> cut_;
  io::Event changed_;  // A commit, a cut or heal, the stop of a node.
};

}  // namespace om::sim
