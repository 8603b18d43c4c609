// The Records of one node: its own store, and a second copy of each on another node.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "engine/remote/peer_link.h"
#include "generation/record.h"
#include "generation/record_store.h"
#include "http/client.h"
#include "http/server.h"
#include "io/world.h"

namespace om::generation {

inline constexpr std::string_view kRecordsPath = "/peer/v1/records/";
// How long to wait for another node's answer.
inline constexpr std::chrono::milliseconds kRecordAnswerMax{1500};
// Each piece of an answer waits for the node that keeps the second copy; a slower one is replaced,
// if another node can be reached.
inline constexpr std::chrono::milliseconds kKeeperSlow{300};
// How long a node that was late is passed over, where that loses nothing.
inline constexpr std::chrono::seconds kLateRest{30};

// On the io thread; outlives all recordings made of it.
class NodeRecords final : public Records {
 public:
  // The other nodes that can be reached now.
  using Peers = std::function<std::vector<engine::PeerLink>()>;

  // References outlive it.
  NodeRecords(io::World& world, http::Client& client, Peers peers)
      : world_(world), client_(client), peers_(std::move(peers)), store_(world.clock) {}

  io::Task<Result<std::unique_ptr<Recording>>> take(std::string name, std::string fingerprint,
                                                    Fits fits, io::Call call) override;

  // What other nodes ask, under kRecordsPath:
  //   POST NAME/take?fingerprint=F         {"owner":N}, then the lines
  //   POST NAME/put?fingerprint=F&owner=N  the body is the whole record
  //   POST NAME/add?from=BYTES&owner=N     the body goes to its end
  io::Task<void> handle(http::Request& request, http::BodyReader& body,
                        http::ResponseWriter& response);

 private:
  friend class NodeRecording;
  using Taken = RecordStore::Taken;

  io::Task<void> ask(engine::PeerLink peer, std::string target, Result<Taken>& answer,
                     io::Call call);
  io::Task<Result<void>> tell(engine::PeerLink peer, std::string target, std::string lines,
                              io::Call call);
  // Nodes that may hold the second copy; the one meant for it first.
  std::vector<engine::PeerLink> keepers(std::string_view name) const;
  // Nodes that may hold a record now; without those that were late lately and probably have none.
  std::vector<engine::PeerLink> holders(std::string_view name) const;
  bool is_late(const engine::PeerLink& peer) const;
  void note_late(const engine::PeerLink& peer);

  io::World& world_;
  http::Client& client_;
  Peers peers_;
  RecordStore store_;
  std::map<std::string, io::TimePoint, std::less<>> late_;  // By node: when it was last late.
};

}  // namespace om::generation
