// What the voter that decides about votes has seen of the other nodes, and since when.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cluster/members.h"
#include "cluster/view.h"

namespace om::app {

// Null: nothing is known of it. A voter whose own etcd is gone is as good as away.
bool is_well(const cluster::NodeInfo* voter);

struct VoterSurvey {
  size_t voters = 0;         // Those that were chosen and have no vote yet included.
  bool is_awaiting = false;  // One of them has no vote yet.
  bool all_well = true;      // Each of them has its vote and can be reached.
  size_t candidates = 0;     // Nodes that may become voters.
  // Of each one name, or none.
  std::string lost;         // Has a vote, and has been away for too long.
  std::string never_voted;  // Was chosen, and has been without a vote for too long.
  std::string candidate;    // The next to be chosen.
  std::string to_demote;    // The one to lose its vote where there are too many.
};

// Pure: time is passed in.
class VoterCensus {
 public:
  // `self` is the voter that looks. With `one_port` a candidate must know the way to the voters'
  // etcd by the port between nodes.
  VoterSurvey look(const std::vector<cluster::Member>& members, const cluster::View& view,
                   std::string_view self, bool one_port, io::TimePoint now);
  // There have been too many of them for long, all of them well.
  bool is_surplus(const VoterSurvey& survey, size_t wanted, io::TimePoint now);
  // It could be reached and had no vote: it is no candidate for a while.
  void note_given_up(std::string name, io::TimePoint now);

 private:
  std::map<std::string, io::TimePoint> away_;      // Voters, since when they are not well.
  std::map<std::string, io::TimePoint> awaited_;   // Since when they are to have a vote.
  std::map<std::string, io::TimePoint> given_up_;  // When.
  std::optional<io::TimePoint> surplus_since_;
  io::TimePoint looked_at_{};
};

}  // namespace om::app
