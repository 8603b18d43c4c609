// A registry's token login: a 401 with `WWW-Authenticate: Bearer realm=,service=,scope=` sends us
// to the realm, which answers {"token"} to a request that is signed with a known key. Source: the
// distribution project's token authentication page, and Ollama's signature on top.
#pragma once

#include <string>
#include <string_view>

#include "http/message.h"
#include "io/clock.h"
#include "security/registry_key.h"

namespace om::transfer {

struct Challenge {
  std::string realm, service, scope;

  // unauthenticated: not a Bearer challenge with a realm.
  static Result<Challenge> parse(std::string_view www_authenticate);
};

// Where to ask for the token: the realm with service, each scope, time and nonce.
// forbidden: the realm is on another host than the registry and might be after our signature.
// huggingface.co and hf.co count as one.
Result<http::Url> token_url(const Challenge& challenge, const http::Url& registry, io::WallTime now,
                            std::string_view nonce);

// The Authorization header of that request: <base64 public key>:<base64 signature>.
std::string token_authorization(const security::RegistryKey& key, std::string_view method,
                                std::string_view url);

// The token in the reply. corrupt: there is none.
Result<std::string> parse_token(std::string_view json);

}  // namespace om::transfer
