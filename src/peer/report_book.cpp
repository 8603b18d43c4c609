#include "peer/report_book.h"

#include "cluster/report_wire.h"

namespace om::peer {

void ReportBook::update(const cluster::View& view) {
  // Who has left is no news: every node knows the members.
  std::erase_if(pages_, [&view](const auto& page) { return !view.find(page.first); });
  for (const cluster::NodeInfo& node : view.nodes()) {
    if (node.state != cluster::NodeState::joining) take(node);
  }
}

void ReportBook::take(const cluster::NodeInfo& node) {
  Page& page = pages_[node.name];
  if (page.report_change != 0 && page.reported == node.reported &&
      node.reported != io::TimePoint{}) {
    return;
  }
  page.reported = node.reported;
  if (node.blobs && node.blobs != page.listed) {
    page.listed = node.blobs;
    page.blobs = cluster::encode_told_blobs(node) + "\n";
    page.blobs_change = ++last_change_;
  }
  std::string report = cluster::encode_told_report(node) + "\n";
  if (report == page.report) return;
  page.report = std::move(report);
  page.report_change = ++last_change_;
}

std::string ReportBook::changes_since(uint64_t change, std::string& place) const {
  std::string lines;
  for (auto at = pages_.upper_bound(place); at != pages_.end(); ++at) {
    const auto& [name, page] = *at;
    const bool blobs_changed = page.blobs_change > change;
    if (blobs_changed) lines += page.blobs;
    // A list alone changes nothing with its reader: it is published with a report.
    if (blobs_changed || page.report_change > change) lines += page.report;
    if (lines.size() >= kPieceBytes) {
      place = name;
      return lines;
    }
  }
  place.clear();
  return lines;
}

}  // namespace om::peer
