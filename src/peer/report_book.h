// The reports of all nodes that this one follows, written as JSON once for all subscribers.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cluster/view.h"

namespace om::peer {

// On the io thread. Subscribers remember the number of the last change they were told.
class ReportBook {
 public:
  // Takes over the changes. Nodes that have not reported yet are left out.
  void update(const cluster::View& view);
  uint64_t last_change() const { return last_change_; }
  // JSON lines (cluster/report_wire.h) of reports that changed after `change`; 0: all. Gives a
  // piece of about kPieceBytes, of nodes behind `place`, and sets `place` to the last node in it;
  // empty: that was all.
  static constexpr size_t kPieceBytes = 64 << 10;
  std::string changes_since(uint64_t change, std::string& place) const;

 private:
  struct Page {
    io::TimePoint reported{};
    std::string report, blobs;
    std::shared_ptr<const std::vector<Digest>> listed;
    uint64_t report_change = 0, blobs_change = 0;
  };
  void take(const cluster::NodeInfo& node);

  std::map<std::string, Page, std::less<>> pages_;
  uint64_t last_change_ = 0;
};

}  // namespace om::peer
