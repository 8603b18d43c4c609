// Whether calls that overlapped can have taken effect one after the other, each at one moment
// between its call and its answer: Wing and Gong's search (1993) with Lowe's memory of
// configurations that led nowhere (2017), as porcupine does it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace om::sim {

struct Interval {
  static constexpr uint64_t kOpen = UINT64_MAX;
  uint64_t called = 0;        // Counts of one clock; no two are equal.
  uint64_t answered = kOpen;  // kOpen: no answer told the outcome; at any later time, or never.
  int64_t hint = 0;           // The search tries the lowest first; it decides nothing.
};

// What the operations work on: one object, to be begun anew for each search.
class SequentialModel {
 public:
  virtual ~SequentialModel() = default;
  // Does operation `index` if its answer is the one that the state gives, else changes nothing.
  virtual bool apply(size_t index) = 0;
  // All that later answers depend on. restore() goes back to it.
  virtual std::string state() const = 0;
  virtual void restore(const std::string& state) = 0;
};

struct LinearizabilityVerdict {
  enum class Kind { holds, broken, void_ } kind = Kind::holds;  // void_: the bound was reached.
  // Unless it holds: one that did not fit where the search was at its deepest.
  std::optional<size_t> misfit;
  size_t steps = 0;
};

// `operations` are in the order of their calls.
LinearizabilityVerdict check_linearizable(SequentialModel& model,
                                          const std::vector<Interval>& operations,
                                          size_t steps_max);

}  // namespace om::sim
