// Requests to an etcd cluster's JSON gateway: several endpoints, failover, time bounds.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "http/client.h"
#include "io/task_group.h"
#include "io/world.h"
#include "metadata/etcd/reply.h"

namespace om::metadata {

struct EtcdOptions {
  std::vector<io::Endpoint> endpoints;  // At least one; the first is asked first.
  // Null: plain, for tests. An empty server_name stands for the host of each endpoint.
  std::shared_ptr<const io::Tls> tls;
  std::string prefix = "/ollamamax/";  // All keys of ours begin so.
};

// On the io thread. Asks one endpoint until it fails, then the next. Every request carries etcd's
// "hasleader", so that a member without a leader says so at once instead of waiting for one.
//
// How it knows that a majority is gone: a change is sent only after a linearizable read that
// succeeded within about a second (else a probe goes first). So after a while without any answer
// (1.5 s for a read, 3.5 s for a change) it is certain that nothing was changed, unless a change
// was sent and not answered: that one is repeated until the deadline, and ends as unavailable or
// deadline_exceeded.
class Gateway {
 public:
  enum class Kind {
    read,    // Changes nothing, or may be done again without harm.
    change,  // Safe to do twice: the caller saw to that.
  };

  Gateway(io::World& world, EtcdOptions options);

  // The body of the reply. not_leader: see above. Other errors are etcd's own refusals.
  io::Task<Result<std::string>> ask(Kind kind, std::string target, std::string body, io::Call call);

  // A stream of JSON lines from the current endpoint, without retries. It breaks (cancelled) when
  // that endpoint is left; `at` tells leave() which it was.
  struct Opened {
    std::unique_ptr<http::ClientResponse> response;
    size_t at = 0;
  };
  io::Task<Result<Opened>> open_stream(std::string target, std::string body,
                                       io::CancelToken cancel);
  void leave(size_t at);  // Goes on with the next endpoint, if `at` is still the current one.
  io::CancelToken left() const { return left_.token(); }

  // Until `token` is cancelled: notices while no requests run that the current endpoint or the
  // majority is gone.
  io::Task<void> watch_over(io::CancelToken token);

  // One attempt at one endpoint, for requests that need no leader: status, health.
  io::Task<Result<std::string>> ask_one(size_t at, std::string target, std::string body,
                                        io::Call call);

  // Takes effect with the next attempt.
  void set_endpoints(std::vector<io::Endpoint> endpoints);
  size_t endpoints() const { return endpoints_.size(); }
  const io::Endpoint& endpoint(size_t at) const { return endpoints_[at].endpoint; }
  const EtcdOptions& options() const { return options_; }
  bool healthy() const { return healthy_; }

 private:
  struct Target {
    io::Endpoint endpoint;
    std::shared_ptr<const io::Tls> tls;
  };
  struct Attempt {
    Result<std::string> reply;
    Refusal::Outcome outcome = Refusal::Outcome::refused;  // If there is no reply.
  };
  class Place;  // Of one request under way.

  http::ClientRequest request(size_t at, std::string target, std::string body) const;
  io::Task<Attempt> attempt(size_t at, std::string target, std::string body, io::Call call);
  io::Task<Attempt> probe(size_t at, io::Call call);  // Its outcome is never `unknown`.
  // A probe if it is due, then the request itself.
  io::Task<Attempt> try_once(Kind kind, const std::string& target, const std::string& body,
                             io::Call call);
  bool heard_lately() const;
  io::Duration backoff(int failures);

  io::World& world_;
  EtcdOptions options_;
  std::vector<Target> endpoints_;
  size_t current_ = 0;
  bool healthy_ = false;
  io::TimePoint heard_{};  // When a request that needs a majority last succeeded.
  io::CancelSource left_;
  size_t under_way_ = 0;
  io::Event place_;
  http::Client client_;
};

}  // namespace om::metadata
