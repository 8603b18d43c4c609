// The cluster's own certificate authority: makes its key, and gives nodes their certificates
// (X.509, RFC 5280; requests in PKCS #10, RFC 2986; keys ECDSA P-256). Pure but for OpenSSL's own
// random numbers; any thread, not for the io thread in bulk (a signature takes some 50 us).
//
// Texts have the same length for the same input, though ECDSA signatures differ: a simulated run
// that carries them stays the same run.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "io/random.h"
#include "io/task.h"
#include "security/certificates.h"
#include "security/secret.h"

namespace om::security {

inline constexpr std::chrono::days kAuthorityLife{3650};
// Certificates begin in the past, for nodes whose clock is behind.
inline constexpr std::chrono::hours kClockSlack{1};
inline constexpr size_t kAddressesMax = 32;

struct Authority {
  std::string certificate;  // PEM.
  Secret key;               // PEM.
};

// A node's new key, and what it shows the authority to get a certificate for it.
struct CertificateRequest {
  Secret key;
  std::string request;
};

// What the issuer decides. Nothing but the public key is taken from the request.
struct IssueOptions {
  std::string name;                    // Must be the request's.
  std::vector<std::string> addresses;  // Or host names. Loopback is always added.
  io::WallTime now{};
  io::Duration life = kNodeCertificateLife;
  std::string replaces = {};  // A serial: the new one is greater, also if the clock went back.
  io::WallTime begins_by = io::WallTime::max();  // At the latest; else shortly before `now`.
};

// invalid_argument: `cluster` is not 1 to 40 printable ASCII characters, or `now` is before 2025:
// the clock was never set.
Result<Authority> make_authority(std::string_view cluster, io::Random& random, io::WallTime now);

// invalid_argument: not a node name.
Result<CertificateRequest> make_certificate_request(std::string_view node_name);

// The node name in a request whose signature is right. corrupt: damaged, or not signed by its own
// key. invalid_argument: not a node name. unsupported: another kind of key than P-256.
Result<std::string> requested_name(std::string_view request_pem);

// SHA-256 of the public key in a request, as DER. Errors of requested_name().
Result<Digest> requested_key(std::string_view request_pem);

// A certificate for both sides of TLS: DNS names `name` and "localhost", the addresses and hosts,
// ends with the authority at the latest. Errors of requested_name(); invalid_argument: another
// name, or an address that is none. unauthenticated: the key is not the authority's. forbidden: the
// authority has expired.
Result<std::string> issue_certificate(const Authority& authority, std::string_view request_pem,
                                      const IssueOptions& options, io::Random& random);

// "::1" for "0:0::1". invalid_argument: not a numeric address.
Result<std::string> canonical_address(std::string_view text);

// What a certificate says of a host: canonical_address() of it, or its DNS name in lower case.
// invalid_argument: neither.
Result<std::string> canonical_host(std::string_view text);

}  // namespace om::security
