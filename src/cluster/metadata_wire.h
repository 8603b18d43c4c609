// The calls of Metadata as JSON, between a node that keeps no copy of the facts and one that does.
#pragma once

#include <boost/json.hpp>
#include <vector>

#include "metadata/metadata.h"

namespace om::cluster {

boost::json::object encode_transaction(const metadata::Transaction& transaction);
// corrupt: not one.
Result<metadata::Transaction> decode_transaction(const boost::json::object& object);

boost::json::object encode_entry(const metadata::Entry& entry);
metadata::Entry decode_entry(const boost::json::object& object);

boost::json::object encode_snapshot(const metadata::Snapshot& snapshot);
metadata::Snapshot decode_snapshot(const boost::json::object& object);
// The snapshot in pieces, at least one, each small enough for one line.
std::vector<metadata::Snapshot> pages_of(metadata::Snapshot snapshot);

boost::json::object encode_events(const std::vector<metadata::Event>& events);
std::vector<metadata::Event> decode_events(const boost::json::object& object);

}  // namespace om::cluster
