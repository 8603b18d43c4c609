// The text a person copies from one node to another to bring it into the cluster: where the cluster
// is, how to know that it is the right one, and a secret that is good once.
//
//   omjoin-AQIJMTAuMC4w...
//
// A version byte, the fields and a CRC-32 in URL-safe Base64: any single changed character is
// noticed. Blanks and line breaks from copying out of a window are skipped. Pure; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "io/network.h"
#include "io/random.h"
#include "security/secret.h"

namespace om::security {

struct JoinToken {
  static constexpr size_t kEndpointsMax = 4;
  static constexpr size_t kSecretBytes = 16;

  std::string id;                       // 16 hex digits; names the token in the cluster, no secret.
  Secret secret;                        // kSecretBytes random bytes.
  Digest ca_pin;                        // Fingerprint of the authority's certificate.
  io::WallTime expires{};               // Whole seconds.
  std::vector<io::Endpoint> endpoints;  // Peer ports of nodes that may be asked, in this order.
};

// What the cluster keeps of a token. Who reads it cannot join with it.
struct JoinTokenRecord {
  std::string id;
  Digest secret_hash;
  io::WallTime expires{};
  std::string used_by;   // The node that joined with it; empty: none yet.
  std::string used_key;  // Of its certificate request, requested_key() in hex digits.
};

// invalid_argument: no endpoint or more than kEndpointsMax, a host of no or more than 253 bytes, a
// unix socket, or a time before 1970 or after 2106.
Result<JoinToken> make_join_token(std::vector<io::Endpoint> endpoints, const Digest& ca_pin,
                                  io::WallTime expires, io::Random& random);

std::string join_token_text(const JoinToken& token);
// invalid_argument: not a token, damaged, or of a newer version; the text says what to do.
Result<JoinToken> parse_join_token(std::string_view text);

JoinTokenRecord join_token_record(const JoinToken& token);

// Whether a secret opens the door now; compares in constant time. unauthenticated: it is not this
// token's. forbidden: expired, or used already. The caller makes "used" stick with a transaction.
Result<void> check_join_secret(const JoinTokenRecord& record, const Secret& secret,
                               io::WallTime now);

}  // namespace om::security
