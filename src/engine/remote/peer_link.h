// How this node speaks to another one.
#pragma once

#include <memory>
#include <string>

#include "http/client.h"
#include "io/world.h"

namespace om::engine {

// A node that is silent for kSilenceMax is taken for dead: it writes something every kPulseInterval
// while it works for us, and a beat every kBeatInterval in its load reports.
inline constexpr std::chrono::milliseconds kPulseInterval{250}, kBeatInterval{500};
inline constexpr std::chrono::milliseconds kSilenceMax{2000};
// The same within an answer, for which a client waits. Shorter, since a mistake costs little: the
// answer goes on elsewhere, and the node is not taken for dead.
inline constexpr std::chrono::milliseconds kAnswerSilenceMax{1000};

// What a tunnel to a part of a model carries (http::upgrade).
inline constexpr std::string_view kPartProtocol = "ollamamax-part";

struct PeerLink {
  std::string node;  // Its name.
  io::Endpoint endpoint;
  std::shared_ptr<const io::Tls> tls;  // Null only in tests: between nodes TLS is always on.

  http::ClientRequest request(std::string method, std::string target, std::string body = {}) const {
    http::ClientRequest request;
    request.method = std::move(method);
    request.endpoint = endpoint;
    request.tls = tls;
    request.host = node;
    request.target = std::move(target);
    request.body = std::move(body);
    request.repeatable = true;  // All requests between nodes may be sent twice.
    return request;
  }
};

}  // namespace om::engine
