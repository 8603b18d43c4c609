// Facts that transactions join, as calls find them one after the other: for judge_facts().
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sim/facts_history.h"
#include "sim/linearizability.h"

namespace om::sim {

// One key. A change that nobody answered has a revision that only a later read tells.
struct Fact {
  static constexpr int64_t kAbsent = -1;
  static constexpr metadata::Revision kUnknown = -1;
  int64_t value = kAbsent;  // A number of its text.
  metadata::Revision modified = 0;
  int64_t version = 0;
  metadata::LeaseId lease = 0;

  bool there() const { return value != kAbsent; }
};

// What a call was to these facts. Keys are numbers from 0 on.
struct PartCall {
  static constexpr metadata::Revision kNever = INT64_MAX / 2;
  struct Write {
    size_t key = 0;
    bool removes = true;
    int64_t value = 0;
    metadata::LeaseId lease = 0;
  };
  struct Condition {
    size_t key = 0;
    std::optional<metadata::Revision> modified;
    int64_t value = Fact::kAbsent;
  };
  const FactsCall* call = nullptr;
  std::vector<std::pair<size_t, Fact>> seen;  // By reads: all keys of theirs, there or not.
  std::vector<Condition> conditions;
  std::vector<Write> writes;
  metadata::Revision guess = kNever;  // Of a change that was not answered.

  bool is_open() const { return call->answered == Interval::kOpen; }
};

class Part final : public SequentialModel {
 public:
  explicit Part(size_t keys) : facts_(keys) {}

  std::vector<PartCall> calls;  // In the order in which they were called.

  bool apply(size_t index) override;
  std::string state() const override;
  void restore(const std::string& state) override;
  // Begins again; from now on a change without an answer may be made at any time, or never. Until
  // then it is made as guessed.
  void restart_without_guesses();

 private:
  bool do_it(const PartCall& one);
  bool agrees(const PartCall& one);
  bool may_hold(const PartCall::Condition& condition) const;
  bool must_hold(const PartCall::Condition& condition) const;
  bool refuse(const PartCall& one) const;
  bool commit(const PartCall& one, metadata::Revision revision);
  bool write(const PartCall::Write& write, metadata::Revision revision);

  bool guesses_ = true;
  std::vector<Fact> facts_;
  metadata::Revision changed_ = 0;  // The last change whose revision is known.
  metadata::Revision listed_ = 0;   // What was read: later changes have later revisions.
};

}  // namespace om::sim
