// How many copies of a model its users could keep busy, by the reports of nodes' runners. Pure but
// for its memory of earlier looks.
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

// On the io thread, asked at every look. One node speaks for each model: of the ready nodes the one
// with the highest rendezvous hash, on which all nodes with the same View agree.
class Popularity {
 public:
  // Looks in a row with too many requests before a copy is wanted: a short burst is over before a
  // copy is there.
  static constexpr int kLooksMin = 3;
  // How often it is told again while it lasts, since it expires by itself.
  static constexpr std::chrono::seconds kTellEvery{20};

  // What this node is to tell now: changes, and news that must be told again. 0: no longer popular.
  // `speakers`: from the plan for this input.
  std::vector<PopularModel> look(const ReplicaInput& input,
                                 const std::vector<std::string>& speakers, const std::string& self);

 private:
  struct Seen {
    int looks = 0, extra = 0;
    io::TimePoint told{};
  };
  std::map<std::string, Seen> seen_;
};

// How many copies would keep up with the requests that run and wait now.
int copies_busy(const cluster::View& view, const Digest& key);

}  // namespace om::transfer
