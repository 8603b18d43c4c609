// How many copies of a model its users could keep busy, from what the nodes' runners report. Pure
// but for its memory of earlier looks.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "transfer/replicas/core.h"

namespace om::transfer {

struct PopularModel {
  std::string key;
  int extra = 0;  // Beyond the policy's factor.
};

// On the io thread, asked at every look. One node speaks for each model: the ready one of the
// highest rendezvous hash, as all nodes with the same View agree.
class Popularity {
 public:
  // Requests must have been too many for so many looks in a row: a burst is over before a copy is
  // there.
  static constexpr int kLooksMin = 3;
  // Told again so often while it lasts, as what is told ends by itself.
  static constexpr std::chrono::seconds kTellEvery{20};

  // What this node is to tell the others now, changes and what must be said again. 0: no longer.
  // `speakers`: of the plan of this input.
  std::vector<PopularModel> look(const ReplicaInput& input,
                                 const std::vector<std::string>& speakers, const std::string& self);

 private:
  struct Seen {
    int looks = 0, extra = 0;
    io::TimePoint told{};
  };
  std::map<std::string, Seen> seen_;
};

// Copies that would keep up with what runs and waits now.
int copies_busy(const cluster::View& view, const Digest& key);

}  // namespace om::transfer
