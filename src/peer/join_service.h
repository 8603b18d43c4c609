// Answers the only request that a machine without a certificate may send: to be let in.
#pragma once

#include "http/server.h"
#include "io/world.h"
#include "metadata/metadata.h"
#include "security/identity.h"

namespace om::peer {

// Serves POST /peer/v1/join on voters. On the io thread. References outlive it. The answer to a
// wrong secret comes after kWrongSecretPause, and kAtOnceMax requests run at a time.
class JoinService {
 public:
  static constexpr std::chrono::seconds kWrongSecretPause{1};
  static constexpr std::chrono::seconds kJoinMax{10};
  static constexpr int kAtOnceMax = 4;

  JoinService(io::World& world, metadata::Metadata& metadata, security::IdentityStore& identity)
      : world_(world), metadata_(metadata), identity_(identity) {}

  io::Task<void> handle(http::Request& request, http::BodyReader& body,
                        http::ResponseWriter& response);

 private:
  io::Task<Result<std::string>> join(http::Request& request, std::string text);

  io::World& world_;
  metadata::Metadata& metadata_;
  security::IdentityStore& identity_;
  int asking_ = 0;
};

}  // namespace om::peer
