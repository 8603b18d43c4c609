#include "sim/facts_model.h"

#include <algorithm>
#include <cstring>

namespace om::sim {

using metadata::Revision;

bool Part::apply(size_t index) {
  const std::vector<Fact> before = facts_;
  const Revision changed = changed_, listed = listed_;
  if (do_it(calls[index])) return true;
  facts_ = before;
  changed_ = changed;
  listed_ = listed;
  return false;
}

std::string Part::state() const {
  std::string text(sizeof(Revision) * 2 + sizeof(Fact) * facts_.size(), '\0');
  std::memcpy(text.data(), &changed_, sizeof(Revision));
  std::memcpy(text.data() + sizeof(Revision), &listed_, sizeof(Revision));
  std::memcpy(text.data() + sizeof(Revision) * 2, facts_.data(), sizeof(Fact) * facts_.size());
  return text;
}

void Part::restore(const std::string& state) {
  std::memcpy(&changed_, state.data(), sizeof(Revision));
  std::memcpy(&listed_, state.data() + sizeof(Revision), sizeof(Revision));
  std::memcpy(facts_.data(), state.data() + sizeof(Revision) * 2, sizeof(Fact) * facts_.size());
}

void Part::restart_without_guesses() {
  guesses_ = false;
  changed_ = listed_ = 0;
  std::ranges::fill(facts_, Fact());
}

bool Part::do_it(const PartCall& one) {
  switch (one.call->kind) {
    case FactsCall::Kind::get:
      return agrees(one);
    case FactsCall::Kind::list:
      if (!agrees(one) || one.call->seen.revision < changed_) return false;
      listed_ = std::max(listed_, one.call->seen.revision);
      return true;
    case FactsCall::Kind::commit:
      if (!one.is_open()) {
        return one.call->commit.done ? commit(one, one.call->commit.revision) : refuse(one);
      }
      if (!guesses_) return commit(one, Fact::kUnknown);
      return one.guess != PartCall::kNever && commit(one, one.guess);
    case FactsCall::Kind::lease_end:
      for (Fact& fact : facts_) {
        if (fact.there() && fact.lease == one.call->lease) fact = Fact();
      }
      return true;
  }
  return false;
}

bool Part::agrees(const PartCall& one) {
  return std::ranges::all_of(one.seen, [this](const auto& seen) {
    Fact& fact = facts_[seen.first];
    const Fact& other = seen.second;
    if (fact.value != other.value) return false;
    if (!fact.there()) return true;
    if (fact.modified == Fact::kUnknown) fact.modified = other.modified;
    return fact.modified == other.modified && fact.version == other.version &&
           fact.lease == other.lease;
  });
}

// True as well where a revision is not known.
bool Part::may_hold(const PartCall::Condition& condition) const {
  const Fact& fact = facts_[condition.key];
  if (!condition.modified) return fact.value == condition.value;
  if (!fact.there() || *condition.modified == 0) return fact.there() == (*condition.modified != 0);
  return fact.modified == Fact::kUnknown || fact.modified == *condition.modified;
}

bool Part::must_hold(const PartCall::Condition& condition) const {
  const bool is_open = condition.modified && facts_[condition.key].modified == Fact::kUnknown;
  return may_hold(condition) && !is_open;
}

// Its revision may be a later one than that of the state it was compared with.
bool Part::refuse(const PartCall& one) const {
  if (one.call->commit.revision < changed_) return false;
  return !std::ranges::all_of(one.conditions,
                              [this](const auto& condition) { return must_hold(condition); });
}

bool Part::commit(const PartCall& one, Revision revision) {
  for (const PartCall::Condition& condition : one.conditions) {
    if (!may_hold(condition)) return false;
    Fact& fact = facts_[condition.key];
    if (condition.modified && fact.there()) fact.modified = *condition.modified;
  }
  bool changes = false;
  for (const PartCall::Write& one_write : one.writes) changes |= write(one_write, revision);
  if (revision == Fact::kUnknown) return true;
  if (!changes) {
    if (revision < changed_) return false;
    listed_ = std::max(listed_, revision);
    return true;
  }
  if (revision <= changed_ || revision <= listed_) return false;
  changed_ = revision;
  return true;
}

bool Part::write(const PartCall::Write& write, Revision revision) {
  Fact& fact = facts_[write.key];
  const bool was_there = fact.there();
  fact = write.removes ? Fact() : Fact{write.value, revision, fact.version + 1, write.lease};
  return was_there || !write.removes;
}

}  // namespace om::sim
