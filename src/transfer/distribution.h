// The parts with which a node of a cluster shares models. Built once; used by make_transfer(), by
// the server for other nodes (peer_blobs()) and by the API (replicas(), catalogue()).
#pragma once

#include "transfer/peer_blobs.h"
#include "transfer/relay.h"
#include "transfer/replicas/replicas.h"
#include "transfer/scrub.h"

namespace om::transfer {

struct DistributionOptions {
  uint64_t receive_bytes_per_second = 0;  // For all blobs together; 0: no cap.
  uint64_t send_bytes_per_second = 0;     // To other nodes.
  ReplicaOptions replicas;
  ScrubOptions scrub;
  TransferOptions transfer;  // As make_transfer() gets them.
};

// One per node, on the io thread. The references outlive it. stop() must have returned before it is
// destroyed, and before that the servers and Transfer that use it have stopped.
class Distribution {
 public:
  Distribution(io::World& world, store::Store& store, http::Client& client, ClusterLinks links,
               cluster::Catalogue& models, DistributionOptions options);

  void start();  // Begins to keep copies and to scrub; the other parts work without it.
  io::Task<void> stop();

  PeerBlobs& peer_blobs() { return peer_blobs_; }
  BlobRelay& relay() { return relay_; }
  Replicas& replicas() { return replicas_; }
  const ClusterLinks& links() const { return links_; }
  Catalogue& catalogue() { return catalogue_; }
  Scrubber& scrubber() { return scrubber_; }
  DownloadTable& downloads() { return downloads_; }
  Context& context() { return context_; }
  Bandwidth& receiving() { return receiving_; }
  Bandwidth& sending() { return sending_; }

 private:
  void on_rotten(const Digest& digest);

  ClusterLinks links_;
  IncomingTable incoming_;
  Context context_;
  Bandwidth receiving_, sending_;
  ChunkLists lists_;
  PeerBlobs peer_blobs_;
  BlobRelay relay_;
  DownloadTable downloads_;
  Catalogue catalogue_;
  Replicas replicas_;
  Scrubber scrubber_;
};

}  // namespace om::transfer
