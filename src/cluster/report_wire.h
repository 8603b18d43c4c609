// A node's load report as JSON, one line a report.
#pragma once

#include <boost/json.hpp>
#include <string>

#include "cluster/view.h"

namespace om::cluster {

// `with_blobs`: also the blobs on its disk, a long list that changes seldom.
std::string encode_report(const NodeInfo& node, bool with_blobs);

// `known` with what the report tells; its blobs stay if the report has none. The receiver sets
// name, peer, ramp and time itself.
NodeInfo decode_report(const boost::json::object& report, NodeInfo known);

// A report that an aggregator passes on: with the node's name, its state as the aggregator sees it,
// and its ramp. The node's blobs come in a line of their own before it.
std::string encode_told_report(const NodeInfo& node);
std::string encode_told_blobs(const NodeInfo& node);
// The node that a line of either kind is about; empty: a line of another kind.
std::string told_node(const boost::json::object& line);
NodeInfo decode_told(const boost::json::object& line, NodeInfo known);

std::string_view to_string(NodeState state);

}  // namespace om::cluster
