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

// The same of another node, told by one that follows it: its name, its state as seen from there and
// its ramp come along. What lies on its disk is a line of its own, before.
std::string encode_told_report(const NodeInfo& node);
std::string encode_told_blobs(const NodeInfo& node);
// The node that a line of either kind is about; empty: neither.
std::string told_node(const boost::json::object& line);
NodeInfo decode_told(const boost::json::object& line, NodeInfo known);

std::string_view to_string(NodeState state);

}  // namespace om::cluster
