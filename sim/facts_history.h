// What the nodes of a run asked of the cluster's facts and were told, for judge_facts().
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "metadata/metadata.h"
#include "sim/linearizability.h"
#include "sim/metadata.h"

namespace om::sim {

// A call at metadata::Metadata, or the end of a lease, which nobody calls.
struct FactsCall {
  enum class Kind { get, list, commit, lease_end } kind = Kind::get;
  std::string node;
  io::TimePoint at{};  // When it was called, and the engine's revision then.
  metadata::Revision revision = 0;
  uint64_t called = 0, answered = Interval::kOpen;
  std::string key;  // Of get; the prefix of list.
  metadata::Transaction transaction;
  metadata::LeaseId lease = 0;  // Of lease_end.
  metadata::Snapshot seen;      // By get (one entry or none) and list.
  metadata::Commit commit;      // Of an answered one.

  std::string describe() const;
};

// On the io thread; outlives what it records. All reads of metadata::Metadata promise to be
// linearizable and are recorded. Tables that follow a watch (Members, Catalogue, the View) promise
// less, and are not.
class FactsHistory {
 public:
  explicit FactsHistory(SharedMetadata& facts);
  ~FactsHistory();

  // Calls through it are recorded. `from_others` tells that nodes ask through it whose calls are
  // recorded where they are made: those carry request ids.
  std::unique_ptr<metadata::Metadata> record(std::unique_ptr<metadata::Metadata> metadata,
                                             std::string node, bool from_others);
  // What the engine knows now counts as read: what was acknowledged must be there.
  void read_all();
  // A watch that nothing hinders has told by now what changed before `before`.
  void expect_told(io::TimePoint before);

  const std::deque<FactsCall>& calls() const { return calls_; }
  const SharedMetadata& facts() const { return facts_; }
  const std::vector<std::string>& complaints() const { return complaints_; }  // Of watches.
  size_t events_told() const { return events_told_; }

 private:
  friend class RecordedMetadata;
  friend class RecordedWatch;
  FactsCall& begin(FactsCall::Kind kind, const std::string& node);
  void end(FactsCall& call) { call.answered = count_++; }
  void forget(FactsCall& call) { call.answered = call.called; }  // It tells nothing.
  void complain(std::string text);

  SharedMetadata& facts_;
  uint64_t count_ = 0;
  std::deque<FactsCall> calls_;  // References stay valid.
  // Asked for again, a change is still the same one.
  std::map<std::string, FactsCall*> open_requests_;
  std::map<uint64_t, class RecordedWatch*> watches_;
  std::vector<std::string> complaints_;
  size_t events_told_ = 0;
};

struct FactsVerdict {
  std::vector<std::string> complaints;  // A void result is one: it proves nothing.
  size_t operations = 0, parts = 0, open = 0, void_ = 0;
};

// Whether the calls are linearizable, for each set of keys that transactions join.
FactsVerdict judge_facts(const FactsHistory& history);

}  // namespace om::sim
