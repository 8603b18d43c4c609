// Divides a history, and has an order looked for in each part.
//
// What transactions join is one object; the keys of one that nothing joins to others are one each.
// A list is one read of each object that it covers: that all of them are of one state is told by
// its revision, which orders the changes of all objects.
#include <algorithm>
#include <numeric>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/log.h"
#include "sim/facts_model.h"

namespace om::sim {
namespace {

using metadata::Compare;
using metadata::Entry;
using metadata::LeaseId;
using metadata::Operation;
using metadata::Revision;

constexpr size_t kShownMax = 20;      // Of the calls before one that does not fit.
constexpr size_t kStepsMax = 50'000;  // Of one search; it takes about one for each call.

class Judge {
 public:
  explicit Judge(const FactsHistory& history) : history_(history) {}

  FactsVerdict judge() {
    for (const FactsCall& call : history_.calls()) {
      if (counts(call)) collect_keys(call);
    }
    number_keys();
    for (const FactsCall& call : history_.calls()) {
      if (counts(call)) join_keys(call);
    }
    divide();
    for (const FactsCall& call : history_.calls()) {
      if (!counts(call)) continue;
      verdict_.operations++;
      if (call.commit.done) answered_.insert(call.commit.revision);
      if (call.answered == Interval::kOpen) verdict_.open++;
      add(call);
    }
    check_clock();
    index_changes();
    for (Part& part : parts_) check(part);
    verdict_.parts = parts_.size();
    return std::move(verdict_);
  }

 private:
  // A read without an answer tells nothing, nor does a change that was not made.
  static bool counts(const FactsCall& call) {
    if (call.answered == call.called) return false;
    return call.kind == FactsCall::Kind::commit || call.answered != Interval::kOpen;
  }

  void collect_keys(const FactsCall& call) {
    if (call.kind == FactsCall::Kind::get) keys_[call.key];
    for (const Entry& entry : call.seen.entries) keys_[entry.key];
    for (const Compare& compare : call.transaction.compares) keys_[compare.key];
    for (const Operation& operation : call.transaction.operations) {
      if (operation.kind != Operation::Kind::remove_prefix) keys_[operation.key];
    }
  }

  void number_keys() {
    int count = 0;
    for (auto& [key, number] : keys_) number = count++;
    above_.resize(keys_.size());
    std::iota(above_.begin(), above_.end(), 0);
  }

  int top_of(int key) {
    while (above_[static_cast<size_t>(key)] != key) {
      int& above = above_[static_cast<size_t>(key)];
      above = above_[static_cast<size_t>(above)];
      key = above;
    }
    return key;
  }

  template <class Visit>
  void each_of_prefix(const std::string& prefix, Visit visit) {
    for (auto at = keys_.lower_bound(prefix); at != keys_.end() && at->first.starts_with(prefix);
         ++at) {
      visit(at->second);
    }
  }

  template <class Visit>
  void each_touched(const FactsCall& call, Visit visit) {
    for (const Compare& compare : call.transaction.compares) visit(keys_[compare.key]);
    for (const Operation& operation : call.transaction.operations) {
      if (operation.kind == Operation::Kind::remove_prefix) {
        each_of_prefix(operation.key, visit);
      } else {
        visit(keys_[operation.key]);
      }
    }
  }

  void join_keys(const FactsCall& call) {
    std::optional<int> first;
    each_touched(call, [&](int key) {
      if (!first) first = key;
      above_[static_cast<size_t>(top_of(key))] = top_of(*first);
    });
  }

  void divide() {
    places_.resize(keys_.size());
    std::map<int, size_t> part_of;
    std::vector<size_t> sizes;
    for (const auto& [key, number] : keys_) {
      const auto [found, is_new] = part_of.try_emplace(top_of(number), sizes.size());
      if (is_new) sizes.push_back(0);
      places_[static_cast<size_t>(number)] = {found->second, sizes[found->second]++};
    }
    for (const size_t size : sizes) parts_.emplace_back(size);
  }

  int64_t value_of(const std::string& text) {
    return values_.try_emplace(text, std::ssize(values_)).first->second;
  }

  PartCall& call_in(size_t part, const FactsCall& call) {
    auto& calls = parts_[part].calls;
    if (calls.empty() || calls.back().call != &call) calls.push_back({&call, {}, {}, {}});
    return calls.back();
  }

  void add(const FactsCall& call) {
    switch (call.kind) {
      case FactsCall::Kind::get:
        return add_seen(call, keys_[call.key],
                        call.seen.entries.empty() ? nullptr : &call.seen.entries[0]);
      case FactsCall::Kind::list:
        return add_list(call);
      case FactsCall::Kind::commit:
        return add_commit(call);
      case FactsCall::Kind::lease_end:
        for (const size_t part : parts_with_[call.lease]) call_in(part, call);
    }
  }

  void add_seen(const FactsCall& call, int key, const Entry* entry) {
    Fact fact;
    if (entry) fact = {value_of(entry->value), entry->modified, entry->version, entry->lease};
    const auto [part, place] = places_[static_cast<size_t>(key)];
    call_in(part, call).seen.emplace_back(place, fact);
  }

  void add_list(const FactsCall& call) {
    auto next = call.seen.entries.begin();
    for (auto at = keys_.lower_bound(call.key);
         at != keys_.end() && at->first.starts_with(call.key); ++at) {
      const bool is_there = next != call.seen.entries.end() && next->key == at->first;
      add_seen(call, at->second, is_there ? &*next : nullptr);
      if (is_there) ++next;
    }
    if (next == call.seen.entries.end()) return;
    complain("a list is not in order, or has what was not asked for: " + call.describe());
  }

  void add_commit(const FactsCall& call) {
    for (const Compare& compare : call.transaction.compares) {
      const auto [part, place] = places_[static_cast<size_t>(keys_[compare.key])];
      PartCall::Condition condition{place, compare.modified};
      if (compare.value) condition.value = value_of(*compare.value);
      call_in(part, call).conditions.push_back(condition);
    }
    for (const Operation& operation : call.transaction.operations) {
      const auto write = [&](int key) {
        const auto [part, place] = places_[static_cast<size_t>(key)];
        PartCall::Write one{place};
        if (operation.kind == Operation::Kind::put) {
          one = {place, false, value_of(operation.value), operation.lease};
          if (operation.lease != 0) parts_with_[operation.lease].insert(part);
        }
        call_in(part, call).writes.push_back(one);
      };
      if (operation.kind == Operation::Kind::remove_prefix) {
        each_of_prefix(operation.key, write);
      } else {
        write(keys_[operation.key]);
      }
    }
  }

  // What was answered later is of no earlier revision, whatever keys it is about.
  void check_clock() {
    std::vector<std::pair<uint64_t, const FactsCall*>> moments;
    for (const FactsCall& call : history_.calls()) {
      const bool has_revision =
          call.kind == FactsCall::Kind::list || call.kind == FactsCall::Kind::commit;
      if (!has_revision || !counts(call) || call.answered == Interval::kOpen) continue;
      moments.emplace_back(call.called, &call);
      moments.emplace_back(call.answered, &call);
    }
    std::ranges::sort(moments);
    std::unordered_map<const FactsCall*, Revision> at_call;
    Revision latest = 0;
    for (const auto& [moment, call] : moments) {
      const bool is_list = call->kind == FactsCall::Kind::list;
      const Revision revision = is_list ? call->seen.revision : call->commit.revision;
      if (moment == call->called) {
        at_call[call] = latest;
      } else {
        if (revision < at_call[call]) {
          complain(
              fmt::format("revision {} was known before: {}", at_call[call], call->describe()));
        }
        latest = std::max(latest, revision);
      }
    }
  }

  // An order that holds is one, wherever it comes from: what became of unanswered changes is
  // guessed from the engine's own history first. Only then everything is possible.
  void check(Part& part) {
    std::vector<Interval> intervals;
    for (PartCall& one : part.calls) {
      if (one.is_open()) {
        one.guess = revision_of(*one.call);
      }
      intervals.push_back({one.call->called, one.call->answered, hint_of(one)});
    }
    LinearizabilityVerdict found = check_linearizable(part, intervals, kStepsMax);
    if (found.kind == LinearizabilityVerdict::Kind::holds) return;
    part.restart_without_guesses();
    found = check_linearizable(part, intervals, kStepsMax);
    if (found.kind == LinearizabilityVerdict::Kind::holds) return;
    const bool is_void = found.kind == LinearizabilityVerdict::Kind::void_;
    if (is_void) verdict_.void_++;
    const FactsCall& misfit = *part.calls[*found.misfit].call;
    complain(fmt::format(
        "{}: {}",
        is_void ? "void: too much to find an order of the facts" : "the facts are not linearizable",
        misfit.describe()));
    log_around(part, misfit);
  }

  // For who replays it.
  static void log_around(const Part& part, const FactsCall& misfit) {
    size_t before = 0;
    for (auto at = part.calls.rbegin(); at != part.calls.rend() && before < kShownMax; ++at) {
      if (at->call->called > misfit.answered) continue;
      log_info("before it", field("call", at->call->describe()));
      before++;
    }
  }

  static std::string text_of(bool removed, const std::string& key, const std::string& value) {
    return key + (removed ? '-' : '=') + value;
  }

  void index_changes() {
    const SharedMetadata& facts = history_.facts();
    for (Revision at = 1; at <= facts.revision(); at++) {
      const SharedMetadata::Change* change = facts.change(at);
      if (!change) continue;
      for (const auto& [removed, entry] : change->events) {
        changes_[text_of(removed, entry.key, entry.value)].push_back(at);
      }
    }
  }

  // Of an unanswered change: when the engine made it, if it did so at all.
  int64_t revision_of(const FactsCall& call) const {
    std::map<Revision, size_t> found;  // How many of its operations are to be seen there.
    for (const Operation& operation : call.transaction.operations) {
      const bool removes = operation.kind != Operation::Kind::put;
      const auto changes = changes_.find(text_of(removes, operation.key, operation.value));
      if (changes == changes_.end()) continue;
      for (const Revision at : changes->second) {
        if (at > call.revision && !answered_.contains(at)) found[at]++;
      }
    }
    const auto most = std::ranges::max_element(
        found, {}, [](const auto& one) { return std::pair(one.second, -one.first); });
    const auto puts =
        std::ranges::count(call.transaction.operations, Operation::Kind::put, &Operation::kind);
    const bool is_it = most != found.end() && std::cmp_greater_equal(most->second, puts);
    return is_it ? most->first : PartCall::kNever;
  }

  // Where the search looks first, which is all that it is good for: changes by their revisions, and
  // after each what was seen of it.
  int64_t hint_of(const PartCall& one) const {
    const FactsCall& call = *one.call;
    if (call.kind == FactsCall::Kind::list) return 2 * call.seen.revision + 1;
    if (call.kind == FactsCall::Kind::lease_end) return 2 * call.revision + 1;
    if (call.kind == FactsCall::Kind::commit) {
      if (one.is_open()) return 2 * one.guess;
      return 2 * call.commit.revision + (call.commit.done ? 0 : 1);
    }
    Revision latest = 0;
    for (const auto& [key, fact] : one.seen) latest = std::max(latest, fact.modified);
    return 2 * latest + 1;
  }

  void complain(std::string text) { verdict_.complaints.push_back(std::move(text)); }

  const FactsHistory& history_;
  std::map<std::string, int> keys_;
  std::vector<int> above_;                         // Of keys that are joined.
  std::vector<std::pair<size_t, size_t>> places_;  // By key: its part, and where in it.
  std::vector<Part> parts_;
  std::unordered_map<std::string, int64_t> values_;
  std::unordered_map<std::string, std::vector<Revision>> changes_;  // Of the engine.
  std::unordered_set<Revision> answered_;
  std::map<LeaseId, std::set<size_t>> parts_with_;  // A lease.
  FactsVerdict verdict_;
};

}  // namespace

FactsVerdict judge_facts(const FactsHistory& history) { return Judge(history).judge(); }

}  // namespace om::sim
