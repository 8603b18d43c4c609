// What this node does for other nodes: the handler of the port between nodes.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "cluster/view.h"
#include "http/server.h"
#include "peer/join_service.h"
#include "peer/lease_table.h"
#include "peer/metadata_service.h"
#include "peer/report_book.h"
#include "scheduler/scheduler.h"
#include "store/store.h"

namespace om::peer {

// References outlive the server.
struct Dependencies {
  io::World& world;
  store::Store& store;
  scheduler::Scheduler& local;  // Of this node alone: a lease is never passed on.
  std::function<cluster::NodeInfo()> self;
  std::function<cluster::View()> view;  // For nodes that follow this one alone.
  // Whether the sender is a member; others get answers to joins only.
  std::function<Result<void>(const http::Request&)> authorize;
  // Whether a member's record says that it is a voter, or is to become one.
  std::function<bool(std::string_view node)> votes;
  // Fills in the split of a model whose main node this one is.
  std::function<io::Task<Result<void>>(scheduler::Target&, io::Call)> plan_split;
};

// On the io thread; stop() must have returned before it is destroyed, after the http::Server.
//
//   GET    /peer/v1/report                  load reports and beats, without end
//   GET    /peer/v1/reports                 the same of all nodes that this one follows; a beat
//                                           confirms all earlier lines
//   POST   /peer/v1/leases                  a slot on a runner: waits, with pulses
//   DELETE /peer/v1/leases/ID[?failed=1]    gives it back
//   POST   /peer/v1/leases/ID/complete      pieces; also embed, tokenize, detokenize
//   POST   /peer/v1/leases/ID/attach?from=N  the same pieces from line N on, after a break
//   POST   /peer/v1/leases/ID/tunnel        101: bytes to and from a part; watch: until it ends
//   GET    /peer/v1/ping?bytes=N            so many bytes: how good the link is
//   POST   /peer/v1/unload/DIGEST
//   POST   /peer/v1/metadata/OPERATION      the cluster's facts (voters)
//   POST   /peer/v1/join                    a certificate for a token (voters)
//   GET    /peer/v1/authority               the authority's key, for a new voter (voters)
//
// All answers are JSON lines (engine/remote/wire.h).
class PeerServer {
 public:
  explicit PeerServer(Dependencies dependencies);
  ~PeerServer();

  http::Handler handler();  // Of handle().
  io::Task<void> handle(http::Request& request, http::BodyReader& body,
                        http::ResponseWriter& response);
  // Paths that other rooms serve to nodes: `prefix` and everything below it.
  void mount(std::string prefix, http::Handler handler);
  // On voters: from now on serves the facts, joins, and the authority's key for other voters.
  void serve_voters(metadata::Metadata& metadata, security::IdentityStore& identity);
  void start();
  void forget(std::string_view node);  // The node is gone: gives its leases back.
  // The node is no member any more: ends the streams of reports and facts that it reads. Its
  // requests go on until forget(), since it may have left of its own will.
  void tell_no_more(std::string_view node);
  size_t leases() const { return leases_.size(); }  // By other nodes, on runners here.
  // Gives no more leases, and waits until those given are back or `grace` is over.
  io::Task<void> drain(io::Duration grace);
  io::Task<void> stop();

 private:
  io::Task<void> answer(http::Request& request, http::BodyReader& body,
                        http::ResponseWriter& response);
  struct Lines {
    std::string text;
    bool has_more = false;  // More can be sent at once.
  };
  io::Task<void> stream(http::Request& request, http::ResponseWriter& response,
                        io::Duration interval, std::function<Lines()> next);
  void open_book();
  io::Task<void> report(http::Request& request, http::ResponseWriter& response);
  io::Task<void> report_all(http::Request& request, http::ResponseWriter& response);
  io::Task<Result<std::unique_ptr<scheduler::Lease>>> acquire_here(
      scheduler::Target target, scheduler::AcquireOptions options, io::Call call);
  io::Task<void> acquire(http::Request& request, http::BodyReader& body,
                         http::ResponseWriter& response);
  io::Task<void> operate(std::string id, std::string operation, http::Request& request,
                         http::BodyReader& body, http::ResponseWriter& response);

  // Tunnel and watch; others leave the response alone.
  io::Task<void> serve_part(const std::string& operation, LeaseUse& use, http::Request& request,
                            http::ResponseWriter& response);
  io::Task<void> ping(http::Request& request, http::ResponseWriter& response);
  io::Task<void> hand_over_authority(security::IdentityStore& identity, http::Request& request,
                                     http::ResponseWriter& response);

  Dependencies dependencies_;
  ReportBook book_;
  io::TimePoint book_updated_{};
  LeaseTable leases_;
  std::unique_ptr<MetadataService> metadata_service_;
  std::unique_ptr<JoinService> join_service_;
  std::vector<std::pair<std::string, http::Handler>> mounted_;
  std::map<std::string, io::CancelSource, std::less<>> listeners_;  // Of streams, by their names.
  bool draining_ = false;
  io::CancelSource stopping_;
};

}  // namespace om::peer
