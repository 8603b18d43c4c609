// What every part of this room works with; all of it outlives the node.
#pragma once

#include <algorithm>

#include "http/client.h"
#include "io/world.h"
#include "store/store.h"
#include "transfer/transfer.h"

namespace om::transfer {

class Catalogue;
struct ClusterLinks;
class IncomingTable;

struct Context {
  io::World& world;
  store::Store& store;
  http::Client& client;
  TransferOptions options;
  // In a cluster: blobs under way that are offered to other nodes, the models agreed on, and the
  // other nodes. Null: the node is in no cluster.
  IncomingTable* incoming = nullptr;
  Catalogue* catalogue = nullptr;
  const ClusterLinks* links = nullptr;
};

// The pause after `failures` in a row: 1, 2, 4, 8, 8 ... s.
inline io::Duration backoff(int failures) {
  return std::chrono::seconds(1 << std::clamp(failures - 1, 0, 3));
}

// Sends one line of progress.
inline io::Task<Result<void>> report(const ProgressSink& sink, std::string status) {
  Progress progress;
  progress.status = std::move(status);
  co_return co_await sink(std::move(progress));
}

}  // namespace om::transfer
