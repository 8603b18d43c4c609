// A node's load report as JSON, one line a report.
#pragma once

#include <boost/json.hpp>
#include <string>

#include "cluster/view.h"

namespace om::cluster {

// `with_blobs`: also what lies on its disk, which is long and changes seldom.
std::string encode_report(const NodeInfo& node, bool with_blobs);

// What the report tells laid over `known` (its blobs stay if the report has none). Name, peer,
// ramp and time are the receiver's matter.
NodeInfo decode_report(const boost::json::object& report, NodeInfo known);

std::string_view to_string(NodeState state);

}  // namespace om::cluster
