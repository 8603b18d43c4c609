// Where chunks of a blob come from: another node, the registry, or a test.
#pragma once

#include <memory>
#include <string>

#include "http/client.h"
#include "transfer/chunk_list.h"
#include "transfer/registry.h"

namespace om::transfer {

// Bytes of one range as they arrive.
class ByteStream {
 public:
  virtual ~ByteStream() = default;
  // Appends what has come; false at the end. Errors as http::ClientResponse::read_some().
  virtual io::Task<Result<bool>> read_some(std::string& into) = 0;
};

// One holder of one blob. On the io thread; several reads may run at once. It must outlive them.
class ChunkSource {
 public:
  virtual ~ChunkSource() = default;
  virtual const std::string& name() const = 0;  // The node's, or the registry's host.
  virtual bool is_registry() const = 0;
  // The chunks it has beyond the first `after` it told of; waits up to kOfferWait for more.
  // not_found: it has nothing of the blob any more. Never called for a registry.
  virtual io::Task<Result<Offer>> offer(size_t after, io::Call call) = 0;
  // unsupported: the registry knows no ranges. corrupt: it has a blob of another size.
  virtual io::Task<Result<std::unique_ptr<ByteStream>>> open(uint64_t offset, uint64_t length,
                                                             io::Call call) = 0;
  // Tells the source that its bytes were wrong, so that it checks its copy. Never called for a
  // registry.
  virtual io::Task<Result<void>> doubt(io::Call call) = 0;
};

inline constexpr std::chrono::seconds kOfferWait{10};
inline constexpr std::chrono::seconds kSourceIdleMax{10};  // Between two bytes.

// A node that answers /peer/v1/blobs (peer_blobs.h).
struct PeerAddress {
  std::string name;
  io::Endpoint endpoint;
  std::shared_ptr<const io::Tls> tls;
};
std::unique_ptr<ChunkSource> peer_source(http::Client& client, io::Clock& clock,
                                         PeerAddress address, Digest digest);

std::unique_ptr<ChunkSource> registry_source(std::shared_ptr<Registry> registry, Digest digest,
                                             uint64_t size);

}  // namespace om::transfer
