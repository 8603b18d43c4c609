#include "peer/join_service.h"

#include "base/log.h"
#include "cluster/admission.h"
#include "engine/remote/wire.h"

namespace om::peer {
namespace {

constexpr uint64_t kBodyBytesMax = 64 << 10;

}  // namespace

io::Task<void> JoinService::handle(http::Request& request, http::BodyReader& body,
                                   http::ResponseWriter& response) {
  Result<std::string> answer = fail(Errc::overloaded, "several machines join right now; try again");
  // Before it takes a place: whoever sends it byte by byte keeps nobody else out.
  auto asked = co_await body.read_all(kBodyBytesMax);
  if (!asked) {
    answer = fail(std::move(asked).error());
  } else if (asking_ < kAtOnceMax) {
    asking_++;
    answer = co_await join(request, std::move(*asked));
    asking_--;
    // Outside of its place, so that guesses keep nobody else out.
    if (!answer && answer.error().code == Errc::unauthenticated) {
      // Who is gone hears nothing.
      (void)co_await world_.clock.sleep_for(kWrongSecretPause, {io::kNever, request.cancel});
    }
  }
  std::string text = answer ? std::move(*answer) : engine::error_line(answer.error());
  // Who is gone needs no answer.
  (void)co_await response.send(answer ? 200 : 403, "application/json", std::move(text));
}

io::Task<Result<std::string>> JoinService::join(http::Request& request, std::string text) {
  CO_TRY(cluster::JoinRequest asked, cluster::read_join_request(text));
  CO_TRY(const security::Authority authority, identity_.load_authority());
  const io::Call call = world_.clock.call_within(kJoinMax, request.cancel);
  auto admitted = co_await cluster::admit(world_, metadata_, authority, std::move(asked), call);
  if (admitted) co_return cluster::write_join_answer(*admitted);
  log_warn("a machine was not let in", field("peer", request.peer),
           field("error", admitted.error()));
  co_return fail(std::move(admitted).error());
}

}  // namespace om::peer
