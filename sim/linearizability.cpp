#include "sim/linearizability.h"

#include <algorithm>
#include <unordered_set>

#include "base/check.h"

namespace om::sim {
namespace {

class Search {
 public:
  Search(SequentialModel& model, const std::vector<Interval>& operations)
      : model_(model), operations_(operations), done_(operations.size(), '\0') {
    for (size_t i = 0; i < operations.size(); i++) {
      CHECK(operations[i].called < operations[i].answered);
      CHECK(i == 0 || operations[i - 1].called < operations[i].called);
      if (operations[i].answered != Interval::kOpen) to_do_++;
    }
  }

  LinearizabilityVerdict run(size_t steps_max) {
    LinearizabilityVerdict verdict;
    push();
    while (to_do_ > 0) {
      if (verdict.steps++ == steps_max) {
        verdict.kind = LinearizabilityVerdict::Kind::void_;
        verdict.misfit = misfit_;
        return verdict;
      }
      if (stack_.empty()) {
        verdict.kind = LinearizabilityVerdict::Kind::broken;
        verdict.misfit = misfit_;
        return verdict;
      }
      step();
    }
    return verdict;
  }

 private:
  struct Level {
    std::string before;  // The state that its candidates meet.
    std::vector<size_t> candidates;
    size_t next = 0;
    size_t begin = 0;             // The first that is not done.
    std::optional<size_t> taken;  // Undone on the way back.
  };

  // One more candidate of the deepest level, or one level back.
  void step() {
    Level& level = stack_.back();
    if (level.taken) {
      mark(*level.taken, false);
      level.taken.reset();
      model_.restore(level.before);
    }
    while (level.next < level.candidates.size()) {
      const size_t index = level.candidates[level.next++];
      if (!model_.apply(index)) continue;
      mark(index, true);
      if (!seen_.insert(configuration(level.begin)).second) {
        mark(index, false);
        model_.restore(level.before);
        continue;
      }
      level.taken = index;
      if (to_do_ > 0) push();
      return;
    }
    stack_.pop_back();
  }

  // All that were called before the first answer among those that are not done.
  void push() {
    Level level;
    level.begin = stack_.empty() ? 0 : stack_.back().begin;
    while (level.begin < done_.size() && done_[level.begin]) level.begin++;
    uint64_t first_answer = Interval::kOpen;
    size_t first = level.begin;
    for (size_t index = level.begin; index < done_.size(); index++) {
      if (operations_[index].called > first_answer) break;
      if (done_[index]) continue;
      level.candidates.push_back(index);
      if (operations_[index].answered >= first_answer) continue;
      first_answer = operations_[index].answered;
      first = index;
    }
    std::erase_if(level.candidates,
                  [&](size_t index) { return operations_[index].called > first_answer; });
    std::ranges::sort(level.candidates, {}, [this](size_t index) {
      const Interval& one = operations_[index];
      return std::tuple(one.hint, one.answered, one.called);
    });
    level.before = model_.state();
    if (deepest_ < stack_.size() || !misfit_) {
      deepest_ = stack_.size();
      misfit_ = first;
    }
    stack_.push_back(std::move(level));
  }

  // What is done, and what came of it. All before `begin` are done.
  std::string configuration(size_t begin) const {
    while (begin < done_.size() && done_[begin]) begin++;
    const size_t end = done_.rfind('\1') + 1;  // One is done.
    std::string key = std::to_string(begin) + '/';
    if (begin < end) key.append(done_, begin, end - begin);
    return key + '/' + model_.state();
  }

  void mark(size_t index, bool done) {
    done_[index] = done ? '\1' : '\0';
    if (operations_[index].answered == Interval::kOpen) return;
    if (done) to_do_--;
    if (!done) to_do_++;
  }

  SequentialModel& model_;
  const std::vector<Interval>& operations_;
  std::string done_;  // By index.
  size_t to_do_ = 0;  // Answered ones that are not done.
  std::vector<Level> stack_;
  std::unordered_set<std::string> seen_;
  size_t deepest_ = 0;
  std::optional<size_t> misfit_;
};

}  // namespace

LinearizabilityVerdict check_linearizable(SequentialModel& model,
                                          const std::vector<Interval>& operations,
                                          size_t steps_max) {
  return Search(model, operations).run(steps_max);
}

}  // namespace om::sim
