// Answers other nodes' requests for blobs, on the port between nodes:
//
//   GET|HEAD /peer/v1/blobs/<digest>                   bytes; a node asks for parts with Range
//   GET      /peer/v1/blobs/<digest>/chunks?after=<n>  an Offer (chunk_list.h)
//   POST     /peer/v1/blobs/<digest>/doubt             202: the bytes were wrong; it will look
#pragma once

#include "http/server.h"
#include "transfer/bandwidth.h"
#include "transfer/chunk_lists.h"
#include "transfer/incoming_blob.h"

namespace om::transfer {

// Gives out whole blobs, and verified chunks of blobs still under way. The caller has checked who
// asks. One per node, on the io thread.
class PeerBlobs {
 public:
  PeerBlobs(io::World& world, store::Store& store, IncomingTable& incoming, ChunkLists& lists,
            Bandwidth& bandwidth)
      : world_(world), store_(store), incoming_(incoming), lists_(lists), bandwidth_(bandwidth) {}

  // False: the path is not one of ours. True: it was answered; 404: the blob is not here (yet).
  io::Task<bool> handle(http::Request& request, http::ResponseWriter& response);

 private:
  io::Task<void> take_doubt(http::ResponseWriter& response, Digest digest);
  io::Task<void> send_offer(http::Request& request, http::ResponseWriter& response, Digest digest);
  io::Task<void> send_bytes(http::Request& request, http::ResponseWriter& response, Digest digest);
  io::Task<Result<void>> send_part(http::Request& request, http::ResponseWriter& response,
                                   std::shared_ptr<IncomingBlob> blob);
  // Where a blob's chunks come from: it is whole, or on its way, or (neither) not here.
  struct Source {
    std::shared_ptr<ChunkLists::Entry> whole;
    std::shared_ptr<IncomingBlob> incoming;
  };
  io::Task<Source> find_source(Digest digest);
  static std::optional<Offer> offer_of(const Source& source, size_t after);
  static io::Task<void> wait_for_news(Source source, size_t after, io::Call call);

  io::World& world_;
  store::Store& store_;
  IncomingTable& incoming_;
  ChunkLists& lists_;
  Bandwidth& bandwidth_;  // For sending.
};

}  // namespace om::transfer
