#include "metadata/etcd/gateway.h"

#include "base/base64.h"
#include "base/check.h"
#include "base/log.h"
#include "metadata/metrics.h"

namespace om::metadata {
namespace {

using std::chrono::milliseconds;

constexpr size_t kUnderWayMax = 32;
constexpr uint64_t kReplyBytesMax = 64 << 20;
constexpr uint64_t kErrorBytesMax = 16 * 1024;
constexpr milliseconds kConnectMax{1000};
constexpr milliseconds kReadAttemptMax{1000};
constexpr milliseconds kChangeAttemptMax{2000};
// An election takes one or two seconds: a change outlasts one, while who reads has something older
// to fall back on. Streams look at their deadline four times a second.
constexpr milliseconds kNoMajorityMax{3500}, kNoMajorityReadMax{1500};
constexpr milliseconds kHeardLately{1000};
constexpr milliseconds kProbeInterval{2000};
constexpr milliseconds kBackoffFirst{20}, kBackoffMax{320};

http::ClientLimits client_limits() {
  http::ClientLimits limits;
  limits.idle_per_endpoint_max = kUnderWayMax;
  limits.connect_max = std::chrono::duration_cast<std::chrono::seconds>(kConnectMax);
  return limits;
}

bool is_over(const io::Call& call, io::TimePoint now) {
  return call.cancel.cancelled() || now >= call.deadline;
}

}  // namespace

// A bounded number of requests is under way; the others wait for a place.
class Gateway::Place {
 public:
  explicit Place(Gateway& gateway) : gateway_(gateway) { gateway_.under_way_++; }
  ~Place() {
    gateway_.under_way_--;
    gateway_.place_.notify_one();
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

 private:
  Gateway& gateway_;
};

Gateway::Gateway(io::World& world, EtcdOptions options)
    : world_(world),
      options_(std::move(options)),
      place_(world.clock),
      client_(world, client_limits()) {
  set_endpoints(options_.endpoints);
}

void Gateway::set_endpoints(std::vector<io::Endpoint> endpoints) {
  CHECK(!endpoints.empty(), "an etcd has at least one endpoint");
  std::vector<Target> targets;
  for (auto& endpoint : endpoints) {
    auto tls = options_.tls;
    if (tls && tls->server_name.empty()) {
      auto named = std::make_shared<io::Tls>(*tls);
      named->server_name = endpoint.host;
      tls = std::move(named);
    }
    // An endpoint that stays keeps its Tls: the pool finds its connections by that pointer.
    for (const auto& old : endpoints_) {
      if (old.endpoint == endpoint) tls = old.tls;
    }
    targets.push_back({std::move(endpoint), std::move(tls)});
  }
  const bool stays = current_ < endpoints_.size() && current_ < targets.size() &&
                     endpoints_[current_].endpoint == targets[current_].endpoint;
  endpoints_ = std::move(targets);
  if (stays || heard_ == io::TimePoint{}) return;
  current_ = 0;
  std::exchange(left_, {}).cancel();
}

http::ClientRequest Gateway::request(size_t at, std::string target, std::string body) const {
  const auto& to = endpoints_[at % endpoints_.size()];
  http::ClientRequest request;
  request.method = "POST";
  request.endpoint = to.endpoint;
  request.tls = to.tls;
  request.target = std::move(target);
  request.headers.add("Content-Type", "application/json");
  request.body = std::move(body);
  return request;
}

io::Task<Gateway::Attempt> Gateway::attempt(size_t at, std::string target, std::string body,
                                            io::Call call) {
  auto made = request(at, std::move(target), std::move(body));
  made.headers.add("Grpc-Metadata-hasleader", "true");
  const std::string where = made.endpoint.str();
  auto response = co_await client_.send(std::move(made), call);
  Result<std::string> read = fail(Errc::internal, "nothing was read");
  if (response) {
    const bool good = (*response)->status() == 200;
    read = co_await (*response)->read_all(good ? kReplyBytesMax : kErrorBytesMax);
    if (good && read) co_return Attempt{std::move(read), Refusal::Outcome::refused};
    if (read) {
      auto refusal = parse_refusal((*response)->status(), *read);
      co_return Attempt{fail(std::move(refusal.error)), refusal.outcome};
    }
    if (read.error().code == Errc::overloaded) {  // Too large: that is an answer.
      co_return Attempt{fail(read.error()), Refusal::Outcome::refused};
    }
  }
  const Error& error = response ? read.error() : response.error();
  co_return Attempt{fail(annotate(error, where)), Refusal::Outcome::unknown};
}

io::Task<Gateway::Attempt> Gateway::probe(size_t at, io::Call call) {
  call = world_.clock.call_within(kReadAttemptMax, call);
  std::string body =
      fmt::format(R"({{"key":"{}","limit":"1","keys_only":true}})", base64_encode(options_.prefix));
  auto tried = co_await attempt(at, "/v3/kv/range", std::move(body), std::move(call));
  if (tried.reply) {
    heard_ = world_.clock.now();
    healthy_ = true;
  } else if (tried.outcome == Refusal::Outcome::unknown) {
    tried.outcome = Refusal::Outcome::not_done;
  }
  co_return tried;
}

bool Gateway::heard_lately() const {
  return healthy_ && world_.clock.now() - heard_ < kHeardLately;
}

io::Task<Gateway::Attempt> Gateway::try_once(Kind kind, const std::string& target,
                                             const std::string& body, io::Call call) {
  const size_t at = current_;
  if (kind == Kind::change && !heard_lately()) {
    auto probed = co_await probe(at, call);
    if (!probed.reply) {
      if (!is_over(call, world_.clock.now())) leave(at);
      co_return probed;
    }
  }
  const auto most = kind == Kind::read ? kReadAttemptMax : kChangeAttemptMax;
  io::Call within = world_.clock.call_within(most, call);
  auto tried = co_await attempt(at, target, body, std::move(within));
  if (tried.reply) {
    heard_ = world_.clock.now();
    healthy_ = true;
    co_return tried;
  }
  if (tried.outcome == Refusal::Outcome::refused) co_return tried;
  // Too many requests: this one is alive, and the next has no more room.
  const bool busy = tried.reply.error().code == Errc::overloaded;
  if (!busy && !is_over(call, world_.clock.now())) leave(at);
  co_return tried;
}

io::Task<Result<std::string>> Gateway::ask(Kind kind, std::string target, std::string body,
                                           io::Call call) {
  const io::TimePoint begun = world_.clock.now();
  const milliseconds patience = kind == Kind::read ? kNoMajorityReadMax : kNoMajorityMax;
  call.deadline = std::min(call.deadline, begun + kCallMax);
  while (under_way_ >= kUnderWayMax) CO_TRY_VOID(co_await place_.wait(call));
  const Place place(*this);
  bool unknown = false;  // A change may have been done.
  for (int failures = 0;; failures++) {
    if (call.cancel.cancelled()) co_return fail(Errc::cancelled, "cancelled");
    io::Call bounded = call;
    if (kind == Kind::read) bounded.deadline = std::min(call.deadline, begun + patience);
    auto tried = co_await try_once(kind, target, body, std::move(bounded));
    if (tried.reply || tried.outcome == Refusal::Outcome::refused) {
      co_return std::move(tried.reply);
    }
    gateway_retries.add();
    unknown = unknown || (kind == Kind::change && tried.outcome == Refusal::Outcome::unknown);
    const Error& last = tried.reply.error();
    const auto now = world_.clock.now();
    if (call.cancel.cancelled()) co_return fail(Errc::cancelled, "cancelled");
    if (now >= call.deadline) {
      // A change that was never sent did nothing, whatever its last attempt ended by.
      const bool no_leader = !unknown && (kind == Kind::change || last.code == Errc::not_leader);
      co_return fail(no_leader ? Errc::not_leader : Errc::deadline_exceeded, "{}", last.what);
    }
    if (!unknown && now >= begun + patience) {
      healthy_ = false;
      if (last.code == Errc::unauthenticated || last.code == Errc::overloaded) co_return fail(last);
      co_return fail(Errc::not_leader, "no majority of the metadata can be reached: {}", last.what);
    }
    // Its end is seen at the loop's head, or by the next attempt.
    (void)co_await world_.clock.sleep_for(backoff(failures), call);
  }
}

io::Duration Gateway::backoff(int failures) {
  const auto most =
      std::min<io::Duration>(kBackoffMax, kBackoffFirst * (1 << std::min(failures, 8)));
  return std::chrono::duration_cast<io::Duration>(most * (0.5 + world_.random.unit()));
}

void Gateway::leave(size_t at) {
  healthy_ = false;
  if (at != current_) return;
  current_ = (current_ + 1) % endpoints_.size();
  // Streams of the endpoint end, and begin again at the next one.
  std::exchange(left_, {}).cancel();
}

io::Task<Result<Gateway::Opened>> Gateway::open_stream(std::string target, std::string body,
                                                       io::CancelToken cancel) {
  Opened opened;
  opened.at = current_;
  auto made = request(opened.at, std::move(target), std::move(body));
  made.headers.add("Grpc-Metadata-hasleader", "true");
  const std::string where = made.endpoint.str();
  auto response = co_await client_.send(std::move(made), io::Call{io::kNever, std::move(cancel)});
  if (!response) {
    leave(opened.at);
    co_return fail(annotate(response.error(), where));
  }
  opened.response = std::move(*response);
  if (opened.response->status() == 200) co_return opened;
  const auto read = co_await opened.response->read_all(kErrorBytesMax);
  if (!read) co_return fail(annotate(read.error(), where));
  auto refusal = parse_refusal(opened.response->status(), *read);
  if (refusal.outcome != Refusal::Outcome::refused) leave(opened.at);
  co_return fail(annotate(std::move(refusal.error), where));
}

io::Task<void> Gateway::watch_over(io::CancelToken token) {
  bool was_healthy = true;
  while (!token.cancelled()) {
    if (world_.clock.now() - heard_ >= kProbeInterval) {
      const size_t at = current_;
      const auto probed = co_await probe(at, io::Call{io::kNever, token});
      if (token.cancelled()) co_return;
      if (!probed.reply) leave(at);
      if (was_healthy != healthy_) {
        log_info("metadata majority", field("reachable", healthy_),
                 field("error", probed.reply ? "" : probed.reply.error().what));
      }
      was_healthy = healthy_;
    }
    const auto pause = healthy_ ? kProbeInterval : kProbeInterval / 4;
    // Cancelled: the loop's head sees it.
    (void)co_await world_.clock.sleep_for(pause, io::Call{io::kNever, token});
  }
}

io::Task<Result<std::string>> Gateway::ask_one(size_t at, std::string target, std::string body,
                                               io::Call call) {
  call = world_.clock.call_within(kReadAttemptMax, call);
  CO_TRY(const auto response,
         co_await client_.send(request(at, std::move(target), std::move(body)), call));
  CO_TRY(auto read, co_await response->read_all(kErrorBytesMax));
  if (response->status() == 200) co_return std::move(read);
  co_return fail(parse_refusal(response->status(), read).error);
}

}  // namespace om::metadata
