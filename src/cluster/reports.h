// Keeps the View: subscribes to the load reports of all other nodes and tells who is reachable.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "cluster/view.h"
#include "engine/remote/peer_link.h"
#include "io/task_group.h"

namespace om::cluster {

// A node that came back gets work after kGoodChecksMin signs of life, at first kRampFirst of its
// share, all of it after kRampTime.
inline constexpr int kGoodChecksMin = 3;
inline constexpr std::chrono::seconds kRampTime{20};
inline constexpr double kRampFirst = 0.1;
// Sent with the request for reports: where other nodes reach the one that asks.
inline constexpr std::string_view kAddressHeader = "OllamaMax-Address";

// On the io thread; stop() must have returned before it is destroyed.
//
// One stream a node brings its reports and a beat every kBeatInterval. Silence of kSilenceMax or
// a broken connection makes the node unreachable at once, without a vote: it works without a
// majority. Connecting is tried again without end, with pauses up to kRetryMax.
//
// That is a stream for each pair of nodes: too many in a large cluster. There a few nodes, the
// aggregators, follow all others, and each other node follows one aggregator. If that one falls
// silent, it follows the next; if all do, it follows each node itself again.
class Reports {
 public:
  static constexpr std::chrono::milliseconds kRetryFirst{200}, kRetryMax{1000};

  Reports(io::World& world, http::Client& client, std::function<NodeInfo()> self);
  ~Reports();

  // The other nodes; a node that is left out is forgotten. `aggregators`: the names of nodes that
  // tell of all others; empty: each node tells of itself.
  void set_peers(std::vector<engine::PeerLink> peers, std::vector<std::string> aggregators = {});
  // Where other nodes reach this one; sent with kAddressHeader.
  void tell_address(io::Endpoint own) { own_address_ = std::move(own); }
  // Nodes that are to drain: the View shows them as draining before they have heard of it.
  void set_draining(std::set<std::string, std::less<>> nodes);

  // This node is in it, as of now.
  View view();
  // How to reach a node; null: unknown, or this one. Valid until set_peers().
  const engine::PeerLink* link_of(std::string_view node) const;

  // Called when a node was lost, with its name.
  void on_lost(std::function<void(const std::string&)> callback) { on_lost_ = std::move(callback); }

  io::Task<void> stop();

 private:
  struct Peer {
    engine::PeerLink link;
    io::CancelSource stop;
  };
  // What the followed aggregator has told so far.
  struct Told {
    std::map<std::string, NodeInfo> nodes;  // Some may not be known here yet.
    std::set<std::string> forgotten;        // Nodes that left the cluster since.
  };
  // Why a stream of reports ended, and whether it had brought any.
  struct Ended {
    Error why;
    bool told = false;
  };
  io::Task<void> follow(std::shared_ptr<Peer> peer);
  http::ClientRequest question(const engine::PeerLink& link, std::string path) const;
  io::Task<Ended> read_reports(Peer& peer, bool returned);
  void follow_each(bool on);
  void ask(std::vector<std::string> aggregators);
  io::Task<void> follow_aggregators(std::vector<std::string> nodes, io::CancelToken stop);
  io::Task<Ended> read_told(engine::PeerLink from, io::CancelToken stop);
  void publish_told(const std::map<std::string, NodeInfo>& nodes);
  NodeInfo as_of(io::TimePoint time, NodeInfo report) const;
  void publish(NodeInfo report);
  void lose(const Peer& peer, const Error& error);

  io::World& world_;
  http::Client& client_;
  std::function<NodeInfo()> self_;
  std::function<void(const std::string&)> on_lost_;
  std::map<std::string, std::shared_ptr<Peer>, std::less<>> peers_;
  std::set<std::string, std::less<>> draining_;
  io::Endpoint own_address_;
  std::vector<std::string> aggregators_;
  std::shared_ptr<Told> told_ = std::make_shared<Told>();
  io::CancelSource aggregators_stop_;
  bool follows_each_ = true;
  View view_;
  io::TimePoint self_at_{};
  io::TaskGroup tasks_;
};

}  // namespace om::cluster
