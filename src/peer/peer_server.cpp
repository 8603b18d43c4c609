#include "peer/peer_server.h"

#include <set>

#include "base/log.h"
#include "base/strings.h"
#include "cluster/report_wire.h"
#include "engine/remote/peer_link.h"
#include "engine/remote/wire.h"
#include "io/cancel_either.h"
#include "peer/authority_service.h"
#include "peer/lease_operations.h"
#include "peer/line_stream.h"
#include "peer/metrics.h"
#include "scheduler/lease_wire.h"

namespace om::peer {
namespace {

constexpr std::string_view kLeases = "/peer/v1/leases/";
constexpr std::string_view kUnload = "/peer/v1/unload/";
// What a node goes on hearing once it was allowed to ask.
const std::set<std::string_view> kStreams = {"/peer/v1/report", "/peer/v1/reports",
                                             "/peer/v1/metadata/watch"};
constexpr uint64_t kBodyBytesMax = 256ull << 20;  // Images in a prompt.
constexpr std::chrono::milliseconds kReportInterval{200};
constexpr std::chrono::milliseconds kDrainLook{50};
constexpr size_t kPingBytesMax = 1 << 20;
constexpr std::string_view kBeatLine = "{\"beat\":true}\n";

// Who is gone needs no answer; the same holds for every send below.
io::Task<void> send_error(http::ResponseWriter& response, int status, Error error) {
  std::string body = engine::error_line(error);
  (void)co_await response.send(status, "application/x-ndjson", std::move(body));
}

io::Task<void> send_done(http::ResponseWriter& response) {
  (void)co_await response.send(200, "application/x-ndjson", std::string(engine::kPulseLine));
}

const std::string& holder_of(const http::Request& request) { return request.peer_certificate; }

}  // namespace

PeerServer::PeerServer(Dependencies dependencies)
    : dependencies_(std::move(dependencies)), leases_(dependencies_.world) {}

PeerServer::~PeerServer() = default;

http::Handler PeerServer::handler() {
  return [this](http::Request& request, http::BodyReader& body, http::ResponseWriter& response) {
    return handle(request, body, response);
  };
}

void PeerServer::mount(std::string prefix, http::Handler handler) {
  mounted_.emplace_back(std::move(prefix), std::move(handler));
}

void PeerServer::serve_voters(metadata::Metadata& metadata, security::IdentityStore& identity) {
  io::World& world = dependencies_.world;
  metadata_service_ = std::make_unique<MetadataService>(world, metadata, stopping_.token());
  join_service_ = std::make_unique<JoinService>(world, metadata, identity);
  mount("/peer/v1/metadata/",
        [this](http::Request& request, http::BodyReader& body, http::ResponseWriter& response) {
          return metadata_service_->handle(request, body, response);
        });
  mount("/peer/v1/join",
        [this](http::Request& request, http::BodyReader& body, http::ResponseWriter& response) {
          return join_service_->handle(request, body, response);
        });
  mount(std::string(kAuthorityPath), [this, &identity](http::Request& request, http::BodyReader&,
                                                       http::ResponseWriter& response) {
    return hand_over_authority(identity, request, response);
  });
}

io::Task<void> PeerServer::hand_over_authority(security::IdentityStore& identity,
                                               http::Request& request,
                                               http::ResponseWriter& response) {
  if (!dependencies_.votes(request.peer_certificate)) {
    co_return co_await send_error(response, 403, {Errc::forbidden, "only voters keep this key"});
  }
  auto authority = identity.load_authority();
  if (!authority) co_return co_await send_error(response, 404, std::move(authority).error());
  log_info("the authority's key is handed to a new voter", field("node", request.peer_certificate));
  (void)co_await response.send(200, "application/json", write_authority(*authority));
}

void PeerServer::start() { leases_.start(); }

void PeerServer::forget(std::string_view node) { leases_.remove_all_of(node); }

void PeerServer::tell_no_more(std::string_view node) {
  const auto listener = listeners_.find(node);
  if (listener == listeners_.end()) return;
  // Out of the map first: who is called off here may ask again at once.
  io::CancelSource ended = std::move(listener->second);
  listeners_.erase(listener);
  ended.cancel();
}

io::Task<void> PeerServer::drain(io::Duration grace) {
  draining_ = true;
  io::Clock& clock = dependencies_.world.clock;
  const io::TimePoint end = clock.now() + grace;
  while (leases_.requests() > 0 && clock.now() < end) {
    const auto slept = co_await clock.sleep_for(kDrainLook);
    if (!slept) co_return;
  }
}

io::Task<void> PeerServer::stop() {
  stopping_.cancel();
  co_await leases_.stop();
  if (metadata_service_) co_await metadata_service_->stop();
}

io::Task<void> PeerServer::handle(http::Request& request, http::BodyReader& body,
                                  http::ResponseWriter& response) {
  if (const auto allowed = dependencies_.authorize(request); !allowed) {
    refused.add();
    co_return co_await send_error(response, 403, allowed.error());
  }
  if (!kStreams.contains(request.path)) co_return co_await answer(request, body, response);
  const io::CancelToken of_connection = request.cancel;
  const io::CancelEither cancel(of_connection, listeners_[holder_of(request)].token());
  request.cancel = cancel.token();
  co_await answer(request, body, response);
  request.cancel = of_connection;
}

io::Task<void> PeerServer::answer(http::Request& request, http::BodyReader& body,
                                  http::ResponseWriter& response) {
  const std::string& path = request.path;
  const bool post = request.method == "POST";
  for (const auto& [prefix, handler] : mounted_) {
    if (!path.starts_with(prefix)) continue;
    co_await handler(request, body, response);
    co_return;
  }
  if (path == "/peer/v1/report" && request.method == "GET") {
    co_await report(request, response);
  } else if (path == "/peer/v1/reports" && request.method == "GET") {
    co_await report_all(request, response);
  } else if (path == "/peer/v1/ping" && request.method == "GET") {
    co_await ping(request, response);
  } else if (path == "/peer/v1/leases" && post) {
    co_await acquire(request, body, response);
  } else if (path.starts_with(kLeases)) {
    const std::string rest = path.substr(kLeases.size());
    const size_t slash = rest.find('/');
    std::string id = rest.substr(0, slash);
    if (slash != std::string::npos && post) {
      co_await operate(std::move(id), rest.substr(slash + 1), request, body, response);
    } else if (request.method == "DELETE") {
      leases_.remove(id, holder_of(request), request.query_value("failed") == "1");
      co_await send_done(response);
    }
  } else if (path.starts_with(kUnload) && post) {
    if (const auto key = Digest::parse(path.substr(kUnload.size()))) {
      dependencies_.local.unload(*key);
      co_await send_done(response);
    }
  }
  if (!response.started()) {
    co_await send_error(response, 404, {Errc::unsupported, "this node does not know " + path});
  }
}

// What `next` gives, asked every `interval`, until nobody reads it or this node stops.
io::Task<void> PeerServer::stream(http::Request& request, http::ResponseWriter& response,
                                  io::Duration interval, std::function<Lines()> next) {
  const auto started = co_await response.start(200, "application/x-ndjson");
  if (!started) co_return;
  const io::CancelEither cancel(request.cancel, stopping_.token());
  while (!cancel.cancelled()) {
    const Lines lines = next();
    if (!lines.text.empty() && !co_await response.write(lines.text)) co_return;
    if (lines.has_more) continue;
    const auto slept =
        co_await dependencies_.world.clock.sleep_for(interval, {io::kNever, cancel.token()});
    if (!slept) break;
  }
  (void)co_await response.finish();
}

// A whole report when something changed, at most every kReportInterval, else a beat.
io::Task<void> PeerServer::report(http::Request& request, http::ResponseWriter& response) {
  std::string told;
  std::shared_ptr<const std::vector<Digest>> blobs;
  io::TimePoint written{};
  auto next = [this, &told, &blobs, &written]() -> Lines {
    const cluster::NodeInfo self = dependencies_.self();
    const io::TimePoint now = dependencies_.world.clock.now();
    const bool blobs_changed = self.blobs != blobs;
    std::string line = cluster::encode_report(self, false);
    const bool changed = blobs_changed || line != told;
    if (!changed && now - written < engine::kBeatInterval) return {};
    if (changed) told = line;
    if (blobs_changed) line = cluster::encode_report(self, true);
    blobs = self.blobs;
    written = now;
    return {changed ? line + "\n" : std::string(kBeatLine)};
  };
  co_await stream(request, response, kReportInterval, std::move(next));
}

void PeerServer::open_book() {
  const io::TimePoint now = dependencies_.world.clock.now();
  if (now - book_updated_ < engine::kBeatInterval / 2) return;
  book_.update(dependencies_.view());
  book_updated_ = now;
}

// Less often than a node's own: of many nodes one always changes. A beat ends what is told at once.
io::Task<void> PeerServer::report_all(http::Request& request, http::ResponseWriter& response) {
  uint64_t told = 0, telling = 0;
  std::string place;  // In the book.
  auto next = [this, &told, &telling, &place]() -> Lines {
    if (place.empty()) {
      open_book();
      telling = book_.last_change();  // What changes from then on is told the next time.
    }
    Lines lines{book_.changes_since(told, place)};
    lines.has_more = !place.empty();
    if (lines.has_more) return lines;
    told = telling;
    lines.text += kBeatLine;
    return lines;
  };
  co_await stream(request, response, engine::kBeatInterval, std::move(next));
}

io::Task<Result<std::unique_ptr<scheduler::Lease>>> PeerServer::acquire_here(
    scheduler::Target target, scheduler::AcquireOptions options, io::Call call) {
  if (target.wants_split) CO_TRY_VOID(co_await dependencies_.plan_split(target, call));
  co_return co_await dependencies_.local.acquire(std::move(target), std::move(options), call);
}

io::Task<void> PeerServer::acquire(http::Request& request, http::BodyReader& body,
                                   http::ResponseWriter& response) {
  auto text = co_await body.read_all(kBodyBytesMax);
  if (!text) co_return co_await send_error(response, 400, std::move(text).error());
  if (draining_) {
    co_return co_await send_error(response, 503, {Errc::unavailable, "this node is draining"});
  }
  auto asked = scheduler::decode_lease_request(*text, dependencies_.store);
  if (!asked) co_return co_await send_error(response, 400, std::move(asked).error());
  LineStream out(dependencies_.world, response);
  auto written = co_await out.start();
  if (written) {
    const io::Call call{io::kNever, request.cancel};
    const bool is_part = asked->target.is_part();
    auto lease = co_await acquire_here(std::move(asked->target), std::move(asked->options), call);
    if (!lease) {
      // The node is there: it is the model that cannot be run on it.
      Error error = std::move(lease).error();
      if (error.code == Errc::unavailable && !draining_) error.code = Errc::internal;
      written = co_await out.write(engine::error_line(error));
    } else {
      leases_given.add();
      boost::json::object line{
          {"load_ns", (*lease)->load_time().count()},
          {"queue_ns", (*lease)->queue_time().count()},
          {"properties", engine::encode_properties((*lease)->engine().properties())}};
      auto id = leases_.add(std::move(*lease), holder_of(request), is_part);
      if (id) line["id"] = *id;
      written = co_await out.write(id ? boost::json::serialize(line) + "\n"
                                      : engine::error_line(id.error()));
      // Nobody knows of it: it would only wait for its end.
      if (id && !written) leases_.remove(*id, holder_of(request), false);
    }
  }
  co_await out.finish();
}

io::Task<void> PeerServer::ping(http::Request& request, http::ResponseWriter& response) {
  const size_t bytes = parse_number<size_t>(request.query_value("bytes")).value_or(0);
  std::string body(std::min(bytes, kPingBytesMax), '.');
  (void)co_await response.send(200, "application/octet-stream", std::move(body));
}

io::Task<void> PeerServer::serve_part(const std::string& operation, LeaseUse& use,
                                      http::Request& request, http::ResponseWriter& response) {
  const io::CancelEither cancel(request.cancel, use.ended());
  const io::Call call{io::kNever, cancel.token()};
  if (operation == "tunnel") {
    const auto done = co_await tunnel(dependencies_.world, use.lease().engine(), response, call);
    if (!done && !response.started()) co_await send_error(response, 503, done.error());
    co_return;
  }
  LineStream out(dependencies_.world, response);
  auto done = co_await out.start();
  if (done) {
    done = co_await watch(dependencies_.world.clock, use.lease().engine(), call);
    if (!done) (void)co_await out.write(engine::error_line(done.error()));
  }
  co_await out.finish();
}

io::Task<void> PeerServer::operate(std::string id, std::string operation, http::Request& request,
                                   http::BodyReader& body, http::ResponseWriter& response) {
  using Operation =
      io::Task<Result<void>> (*)(scheduler::Lease&, std::string, LineStream&, io::Call);
  static const std::map<std::string_view, Operation> kOperations = {
      {"embed", embed}, {"tokenize", tokenize}, {"detokenize", detokenize}};
  const auto found = kOperations.find(operation);
  const bool begins = operation == "complete";
  const bool goes_on = operation == "attach";
  const bool of_part = operation == "tunnel" || operation == "watch";
  // Answered as unknown.
  if (found == kOperations.end() && !begins && !goes_on && !of_part) co_return;
  auto text = co_await body.read_all(kBodyBytesMax);
  if (!text) co_return co_await send_error(response, 400, std::move(text).error());
  auto held = leases_.find(id, holder_of(request));
  if (!held) {
    // The node was started again, or the lease ran out: the asker takes it for lost.
    co_return co_await send_error(response, 404, {Errc::unavailable, held.error().what});
  }
  std::shared_ptr<RunningCompletion> running;
  const size_t from = parse_number<size_t>(request.query_value("from")).value_or(0);
  if (begins) running = leases_.run(*held, std::move(*text));
  if (goes_on) running = (*held)->running;
  if (goes_on && !running) {
    co_return co_await send_error(response, 404, {Errc::unavailable, "nothing runs here"});
  }
  LeaseUse use(dependencies_.world.clock, std::move(*held));
  if (of_part) co_return co_await serve_part(operation, use, request, response);
  LineStream out(dependencies_.world, response);
  auto done = co_await out.start();
  if (done) {
    const io::Call call{io::kNever, request.cancel};
    done = running ? co_await running->tell(from, out, call)
                   : co_await found->second(use.lease(), std::move(*text), out, call);
    // Fails only if nobody is there to read it.
    if (!done) (void)co_await out.write(engine::error_line(done.error()));
  }
  co_await out.finish();
}

}  // namespace om::peer
