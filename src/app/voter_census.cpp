#include "app/voter_census.h"

#include "app/voter.h"

namespace om::app {
namespace {

// A voter that cannot be reached for so long is replaced, if another node is there to take over;
// one whose own etcd is gone later, for it serves on and starts anew when its vote is taken.
constexpr std::chrono::seconds kVoterGoneMax{60}, kCutOffMax{600};
constexpr std::chrono::seconds kLookGapMax{30};  // Longer than from one look to the next.
// So long there must be too many of them, all well, before one has no vote any more.
constexpr std::chrono::seconds kSurplusMax{60};
// A node without a vote so long after it was chosen (no etcd there) gets none, nor soon again.
constexpr std::chrono::minutes kVoteAwaitedMax{5}, kChosenAgain{60};

}  // namespace

bool is_well(const cluster::NodeInfo* voter) {
  return voter && voter->is_reachable() && voter->reaches_majority;
}

VoterSurvey VoterCensus::look(const std::vector<cluster::Member>& members,
                              const cluster::View& view, std::string_view self, bool one_port,
                              io::TimePoint now) {
  // Others have decided meanwhile: what this node knew of then says nothing about the time since.
  if (now - looked_at_ > kLookGapMax) {
    away_.clear();
    awaited_.clear();
    surplus_since_.reset();
  }
  looked_at_ = now;
  std::erase_if(given_up_, [now](const auto& node) { return now - node.second > kChosenAgain; });
  VoterSurvey survey;
  for (const cluster::Member& member : members) {
    const cluster::NodeInfo* node = view.find(member.name);
    if (!member.voter) {
      away_.erase(member.name);
      awaited_.erase(member.name);
      const bool is_ready = node && node->state == cluster::NodeState::ready &&
                            (!one_port || knows_one_port(member)) &&
                            !given_up_.contains(member.name);
      if (is_ready && survey.candidates++ == 0) survey.candidate = member.name;
      continue;
    }
    survey.voters++;
    // One that is drained votes on.
    const bool is_there = is_well(node) && node->answers();
    bool is_over = false;
    if (is_there || member.name == self) {
      away_.erase(member.name);
    } else {
      survey.all_well = false;
      const bool serves = member.has_vote() && node && node->is_reachable();
      const auto since = away_.try_emplace(member.name, now).first->second;
      is_over = now - since > (serves ? kCutOffMax : kVoterGoneMax);
    }
    if (member.has_vote()) {
      awaited_.erase(member.name);
      if (is_over) survey.lost = member.name;
      if (!member.asked && member.name != self) survey.to_demote = member.name;
    } else {
      survey.all_well = false;
      survey.is_awaiting = true;
      const auto since = awaited_.try_emplace(member.name, now).first->second;
      if (is_over || now - since > kVoteAwaitedMax) survey.never_voted = member.name;
    }
  }
  return survey;
}

// After nodes have left, or where the one to make an odd number of them has never come: the two
// that are left of three would need each other.
bool VoterCensus::is_surplus(const VoterSurvey& survey, size_t wanted, io::TimePoint now) {
  const bool stays_even = survey.voters % 2 == 0 && survey.candidates == 0;
  const bool too_many = survey.voters > wanted || stays_even;
  if (!too_many || !survey.all_well || survey.to_demote.empty()) {
    surplus_since_.reset();
    return false;
  }
  if (!surplus_since_) surplus_since_ = now;
  return now - *surplus_since_ > kSurplusMax;
}

void VoterCensus::note_given_up(std::string name, io::TimePoint now) {
  given_up_[std::move(name)] = now;
}

}  // namespace om::app
