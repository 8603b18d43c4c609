// What certificates (X.509, RFC 5280) say, and whether they may be believed. Pure functions of PEM
// text and the time given; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "io/task.h"
#include "security/secret.h"

namespace om::security {

inline constexpr std::chrono::days kNodeCertificateLife{90};  // If nothing else is set.

struct CertificateFacts {
  std::string name;    // The subject's common name: for a node its name in the cluster.
  std::string serial;  // 32 hex digits or more; see issue_time().
  io::WallTime not_before{}, not_after{};
  Digest fingerprint;  // SHA-256 of the DER: what `openssl x509 -fingerprint -sha256` prints.
  bool is_authority = false;
  std::vector<std::string> dns_names, addresses;  // Subject alternative names, as given.
};

// The first certificate of the text. corrupt: there is none, it is damaged or larger than 64 KiB.
Result<CertificateFacts> read_certificate(std::string_view pem);

// Checks the first certificate of `chain_pem` as a TLS server and client at `now`: signed by one of
// the authorities, directly or through the rest of the chain, and within its time.
// unauthenticated: it is not, and why. corrupt: one of the texts is damaged.
Result<void> verify_certificate(std::string_view chain_pem, std::string_view authorities_pem,
                                io::WallTime now);

// The certificate of the chain with this fingerprint, as PEM. unauthenticated: none has it. For the
// simulation and tests.
Result<std::string> find_pinned(std::string_view chain_pem, const Digest& pin);

// unauthenticated: the key is not the certificate's.
Result<void> check_key_pair(std::string_view certificate_pem, const Secret& key_pem);

// A node's certificate is renewed after two thirds of its life: a month of the 90 days is left to
// get through to a voter. `life`: what certificates get now.
io::WallTime renewal_time(const CertificateFacts& facts, io::Duration life = kNodeCertificateLife);
bool needs_renewal(const CertificateFacts& facts, io::WallTime now,
                   io::Duration life = kNodeCertificateLife);

// Our serials begin with the time of issue (milliseconds, 6 bytes), so later ones compare greater.
// The zero time for serials of others.
io::WallTime issue_time(std::string_view serial);

// The name of a node goes into certificates, DNS names, file names and metrics: 1 to 63 lower-case
// letters, digits, '-', '_' and '.', at least one letter, letter or digit at both ends.
// invalid_argument: something else, or "localhost", which every certificate is good for.
Result<void> check_node_name(std::string_view name);

}  // namespace om::security
