// Renews this node's certificate long before it ends, and lets voters renew those of others.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/remote/peer_link.h"
#include "http/server.h"
#include "io/event.h"
#include "io/task_group.h"
#include "io/world.h"
#include "security/identity.h"

namespace om::peer {

// POST, a certificate request as PEM; answered by voters to members over mutual TLS, for the name
// in the certificate they show: whoever it has expired for gets no further than the handshake.
inline constexpr std::string_view kRenewPath = "/peer/v1/renew";

// What it needs of the node; references outlive it.
struct RenewalLinks {
  io::World& world;
  http::Client& client;
  security::IdentityStore& identity;
  std::string node;  // This one's name.
  // The addresses and hosts, canonical, under which the cluster knows a member.
  std::function<std::vector<std::string>(std::string_view node)> addresses_of;
  std::function<std::vector<engine::PeerLink>()> voters;  // Whom to ask, the likely ones first.
  io::Duration life = security::kNodeCertificateLife;     // Of certificates that are given.
};

// On the io thread; stop() must have returned before it is destroyed.
//
// A new certificate gets into use by being written over the old one (IdentityStore::save): the
// server takes it up with its next connection, clients and the etcd child with theirs. Connections
// that are open go on, so no stream notices.
class Renewal {
 public:
  explicit Renewal(RenewalLinks links);
  ~Renewal();

  // Before anything else uses the certificate: a node that keeps the authority's key gives itself
  // a new one, even if the old one has expired while it was off.
  void renew_by_itself();
  void start();
  void look_again();  // At once: what it is to say has changed.
  io::Task<void> stop();

  // Serves kRenewPath; who asks has been found to be a member.
  io::Task<void> answer(http::Request& request, http::BodyReader& body,
                        http::ResponseWriter& response);

  io::WallTime not_after() const { return not_after_; }
  // What a person must do, because the node cannot help itself any more; else empty.
  const std::string& advice() const { return advice_; }

 private:
  io::Task<void> run();
  io::Task<io::WallTime> look();  // When to look again.
  security::RenewalPlan plan(const security::CertificateFacts& facts) const;
  Result<std::string> issue(const security::Authority& authority, std::string_view request,
                            security::IssueOptions options);
  Result<std::string> issue_own(const security::Authority& authority, std::string_view request,
                                const security::CertificateFacts& replaces);
  io::Task<Result<void>> renew(std::string why);
  io::Task<Result<std::string>> ask_voters(std::string request, io::Call call);
  io::Task<Result<std::string>> certify(http::Request& request, http::BodyReader& body);

  RenewalLinks links_;
  io::WallTime not_after_{};
  std::string advice_;
  bool changed_ = false;
  io::Event change_;
  io::TaskGroup tasks_;
};

}  // namespace om::peer
