// Who this node is in its cluster: the files under cluster/ in its state directory, and the TLS
// that comes from them.
//
//   ca.crt    the cluster's authority; two while it is being changed, the one that issues first
//   node.pem  the node's certificate, then its key: one file, so that a renewal replaces both or
//             neither; mode 0600
//   ca.key    the authority's key, on voters only; mode 0600 (docs/adr/0006-cluster-identity.md)
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "io/filesystem.h"
#include "io/network.h"
#include "security/authority.h"
#include "security/certificates.h"
#include "security/secret.h"

namespace om::security {

struct Identity {
  std::string authorities;  // PEM, as are the next two.
  std::string certificate;
  Secret key;
  CertificateFacts facts;  // Of `certificate`.

  const std::string& name() const { return facts.name; }
};

// Reads and writes the files, each whole or not at all. They are small: from the io thread. `files`
// must outlive it.
class IdentityStore {
 public:
  IdentityStore(io::Filesystem& files, io::Path directory)
      : files_(files), directory_(std::move(directory)) {}

  // Also one that has expired: see plan_renewal(). not_found: this node is in no cluster. corrupt,
  // unauthenticated: the files are damaged or do not belong together.
  Result<Identity> load();

  // After init, join and each renewal. Nothing is written unless the certificate holds now under
  // the authorities and the key is its own; unauthenticated: it does not, corrupt: damaged.
  Result<void> save(std::string_view authorities, std::string_view certificate, const Secret& key,
                    io::WallTime now);

  // What a machine that is no member yet shows to be let in with the token of this id: the same
  // each time, so that an answer that was lost may be asked for again. It lies in the directory,
  // which is none of a member.
  Result<CertificateRequest> join_request(const std::string& token_id, std::string_view node_name);

  // On voters. not_found: this node is none.
  Result<Authority> load_authority();
  // unauthenticated: the key is not that of the certificate.
  Result<void> save_authority(const Authority& authority);
  Result<void> forget_authority();  // When it is no voter any more.
  Result<void> forget();            // When it has left the cluster.

  // As a server on the peer port. A certificate is asked for, not demanded: who joins has none yet.
  // Every handler but the join's must look at Request::peer_certificate, see check_peer().
  std::shared_ptr<const io::Tls> peer_server() const;
  // As a client of the node with this name: its peer port, its etcd member.
  std::shared_ptr<const io::Tls> client_of(std::string node_name) const;

  // For an etcd child, as --trusted-ca-file, --cert-file and --key-file (etcd reads its certificate
  // and key out of one file).
  io::Path authorities_file() const { return io::join(directory_, "ca.crt"); }
  io::Path node_file() const { return io::join(directory_, "node.pem"); }

 private:
  io::Path authority_key_file() const { return io::join(directory_, "ca.key"); }
  Result<void> prepare_directory();
  Result<void> write_secret(const io::Path& path, const Secret& text);

  io::Filesystem& files_;
  io::Path directory_;
};

// As a client that has only a join token: any node of the cluster with this authority will do.
std::shared_ptr<const io::Tls> join_client(const Digest& ca_pin);

enum class RenewalStep {
  wait,
  renew,       // Ask a voter for another certificate, showing the old one.
  join_again,  // It has expired: nobody would listen. Needs a new token.
};

struct RenewalPlan {
  RenewalStep step = RenewalStep::wait;
  io::WallTime look_again{};  // If nothing else happens.
  std::string why;            // For the log; empty: nothing is due.
};

// What to do about a certificate at `now`, if the cluster knows the node under these (canonical)
// addresses and hosts, and certificates get `life` now. Pure.
RenewalPlan plan_renewal(const CertificateFacts& facts, std::span<const std::string> addresses,
                         io::WallTime now, io::Duration life = kNodeCertificateLife);

// Whether who showed this certificate may act as the node it names. `first_serial`: of the
// certificate that node joined with; null: it is no member. Serials grow with time, so a
// certificate from before the node joined (again) is of an earlier life of that name: a disk that
// was thrown away. unauthenticated: none was shown. forbidden: not a member (any more). Pure.
Result<void> check_peer(std::string_view name, std::string_view serial,
                        const std::string* first_serial);

}  // namespace om::security
