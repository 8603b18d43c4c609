#include "peer/voter_service.h"

#include "engine/remote/wire.h"
#include "io/cancel_either.h"
#include "peer/tunnel.h"

namespace om::peer {
namespace {

constexpr std::string_view kMembers = "/v3/cluster/member/", kStatus = "/v3/maintenance/status";
// Who changes members reads something first, to know that there is a majority, and has etcd say so
// at once where there is none (metadata/etcd/gateway.h).
constexpr std::string_view kRead = "/v3/kv/range", kHasLeader = "Grpc-Metadata-hasleader";
// etcd itself gives a change of its members up after 7 s.
constexpr std::chrono::seconds kAnswerMax{10};
constexpr uint64_t kQuestionBytesMax = 64 << 10, kAnswerBytesMax = 4 << 20;

}  // namespace

bool VoterService::serves(std::string_view path) {
  return path == kVoterTunnelPath || path == kStatus || path == kRead || path.starts_with(kMembers);
}

io::Task<void> VoterService::handle(http::Request& request, http::BodyReader& body,
                                    http::ResponseWriter& response) {
  if (request.path == kVoterTunnelPath) co_return co_await tunnel(request, response);
  co_await pass_on(request, body, response);
}

io::Task<void> VoterService::tunnel(http::Request& request, http::ResponseWriter& response) {
  const io::CancelEither cancel(request.cancel, stopping_.token());
  const io::Call call{io::kNever, cancel.token()};
  const auto done = co_await tunnel_to(world_, ports_.peer, kVoterProtocol, response, call);
  if (done || response.started()) co_return;
  // Who is gone needs no answer.
  (void)co_await response.send(503, "application/x-ndjson", engine::error_line(done.error()));
}

io::Task<void> VoterService::pass_on(http::Request& request, http::BodyReader& body,
                                     http::ResponseWriter& response) {
  int status = 503;
  auto question = co_await body.read_all(kQuestionBytesMax);
  auto answer = Result<std::string>();
  if (question) {
    http::ClientRequest ask;
    ask.method = "POST";
    ask.endpoint = ports_.client;
    ask.tls = ports_.tls;
    ask.host = ports_.client.str();
    ask.target = request.path;
    ask.body = std::move(*question);
    ask.headers.add("Content-Type", "application/json");
    if (const auto wanted = request.headers.get(kHasLeader); !wanted.empty()) {
      ask.headers.add(kHasLeader, wanted);
    }
    const io::Call call = world_.clock.call_within(kAnswerMax, request.cancel);
    auto reply = co_await client_.send(std::move(ask), call);
    if (reply) status = (*reply)->status();
    answer = reply ? co_await (*reply)->read_all(kAnswerBytesMax) : fail(reply.error());
  } else {
    answer = fail(std::move(question).error());
  }
  // Who is gone needs no answer.
  (void)co_await response.send(answer ? status : 503, "application/json",
                               answer ? std::move(*answer) : engine::error_line(answer.error()));
}

}  // namespace om::peer
