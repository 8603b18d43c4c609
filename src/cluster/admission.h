// Lets a new node in: checks its token, gives it a certificate and writes it down as a member.
// The side of the node that joins is in app.
#pragma once

#include <string>

#include "cluster/members.h"
#include "metadata/metadata.h"
#include "security/authority.h"
#include "security/join_token.h"

namespace om::cluster {

inline constexpr std::string_view kTokensPrefix = "/tokens/";
inline constexpr std::chrono::hours kTokenLife{24};

// What a machine that wants to join says.
struct JoinRequest {
  std::string token_id;
  security::Secret secret;
  std::string certificate_request;  // PEM; its name is the node's.
  io::Endpoint peer;                // Where it will be reached.
  std::string version;
  int64_t time_seconds = 0;  // By its own clock, Unix time; 0: older versions do not tell.
};

struct JoinAnswer {
  std::string authority, certificate;  // PEM.
  std::vector<Member> members;         // The new one among them.
};

// Makes a token good for one node, and lets the cluster know of it. The cluster forgets tokens that
// have expired long ago.
io::Task<Result<security::JoinToken>> offer_token(io::World& world, metadata::Metadata& metadata,
                                                  std::vector<io::Endpoint> endpoints,
                                                  Digest ca_pin, io::Duration life, io::Call call);

// unauthenticated: unknown token or wrong secret; forbidden: expired or used. already_exists: a
// member has this name; a member that lost its disk must be removed first. invalid_argument: the
// new node's name is another's host, or its host another's name, or its clock is wrong. After an
// error nothing has changed. A node that was let in and missed the answer may ask again, with the
// same token, name and key.
io::Task<Result<JoinAnswer>> admit(io::World& world, metadata::Metadata& metadata,
                                   const security::Authority& authority, JoinRequest request,
                                   io::Call call);

std::string write_join_request(const JoinRequest& request);
Result<JoinRequest> read_join_request(std::string_view json);
std::string write_join_answer(const JoinAnswer& answer);
Result<JoinAnswer> read_join_answer(std::string_view json);

}  // namespace om::cluster
