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

// POST, a certificate request as PEM. Voters answer it to members over mutual TLS, for the name in
// the certificate that they show. With an expired certificate the handshake fails.
inline constexpr std::string_view kRenewPath = "/peer/v1/renew";

// What Renewal needs of the node; references outlive it.
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
// A new certificate is written over the old one (IdentityStore::save). Server, clients and the etcd
// child use it from their next connections on; open connections are not touched.
class Renewal {
 public:
  explicit Renewal(RenewalLinks links);
  ~Renewal();

  // Call before anything uses the certificate. A node that has the authority's key gives itself a
  // new certificate, even if the old one has expired.
  void renew_by_itself();
  void start();
  void look_again();  // At once, since the certificate's contents are to change.
  io::Task<void> stop();

  // Serves kRenewPath. The caller has checked that the sender is a member.
  io::Task<void> answer(http::Request& request, http::BodyReader& body,
                        http::ResponseWriter& response);

  io::WallTime not_after() const { return not_after_; }
  // What a person must do if the node cannot renew by itself any more; else empty.
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
  io::Task<Result<std::string>> ask_voters(std::string request, std::string authorities,
                                           io::Call call);
  io::Task<Result<std::string>> certify(http::Request& request, http::BodyReader& body);

  RenewalLinks links_;
  io::WallTime not_after_{};
  std::string advice_;
  bool changed_ = false;
  io::Event change_;
  io::TaskGroup tasks_;
};

}  // namespace om::peer
