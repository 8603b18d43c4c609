#include "metadata/etcd/membership.h"

#include <boost/json.hpp>

namespace om::metadata {
namespace {

// etcd changes its members only while all have been connected for five seconds, and a new or
// returned one has not. Twice that, and an operator hears of it.
constexpr auto kHealthyWaitMax = std::chrono::seconds(10);
constexpr auto kHealthyPause = std::chrono::milliseconds(500);

std::string id_body(uint64_t id) { return fmt::format(R"({{"ID":"{}"}})", id); }

}  // namespace

Membership::Membership(io::World& world, EtcdOptions options)
    : world_(world), gateway_(world, std::move(options)) {}

io::Task<Result<MembersReply>> Membership::ask(Gateway::Kind kind, std::string_view what,
                                               std::string body, io::Call call) {
  const auto reply = co_await gateway_.ask(kind, fmt::format("/v3/cluster/member/{}", what),
                                           std::move(body), std::move(call));
  if (!reply) co_return fail(reply.error());
  co_return parse_members(*reply);
}

io::Task<Result<std::vector<Member>>> Membership::list(io::Call call) {
  CO_TRY(auto reply, co_await ask(Gateway::Kind::read, "list", "{}", std::move(call)));
  co_return std::move(reply.members);
}

io::Task<Result<uint64_t>> Membership::cluster_id(io::Call call) {
  CO_TRY(const auto reply, co_await ask(Gateway::Kind::read, "list", "{}", std::move(call)));
  co_return reply.header.cluster;
}

io::Task<Result<void>> Membership::update(uint64_t id, std::string peer_url, io::Call call) {
  boost::json::object body{{"ID", std::to_string(id)},
                           {"peerURLs", boost::json::array{boost::json::string(peer_url)}}};
  const auto done =
      co_await ask(Gateway::Kind::change, "update", boost::json::serialize(body), std::move(call));
  if (!done) co_return fail(done.error());
  co_return Result<void>{};
}

io::Task<Result<Member>> Membership::add_learner(std::string peer_url, io::Call call) {
  boost::json::object body;
  body["peerURLs"] = boost::json::array{boost::json::string(peer_url)};
  body["isLearner"] = true;
  auto added =
      co_await ask(Gateway::Kind::change, "add", boost::json::serialize(body), std::move(call));
  if (!added) co_return fail(added.error());
  for (auto& member : added->members) {
    if (member.id == added->added) co_return std::move(member);
  }
  co_return fail(Errc::corrupt, "etcd: the member that was added is not in its list");
}

io::Task<Result<void>> Membership::promote(uint64_t id, io::Call call) {
  const auto done = co_await ask(Gateway::Kind::change, "promote", id_body(id), std::move(call));
  if (done || done.error().code == Errc::already_exists) co_return Result<void>{};
  co_return fail(done.error());
}

io::Task<Result<void>> Membership::remove(uint64_t id, io::Call call) {
  const io::TimePoint give_up = world_.clock.now() + kHealthyWaitMax;
  while (true) {
    const auto done = co_await ask(Gateway::Kind::change, "remove", id_body(id), call);
    if (done || done.error().code == Errc::not_found) co_return Result<void>{};
    if (done.error().code != Errc::overloaded || world_.clock.now() >= give_up) {
      co_return fail(done.error());
    }
    CO_TRY_VOID(co_await world_.clock.sleep_for(kHealthyPause, call));
  }
}

io::Task<std::vector<Membership::Health>> Membership::health(io::Call call) {
  std::vector<Health> all;
  for (size_t i = 0; i < gateway_.endpoints(); i++) {
    Health one;
    one.endpoint = gateway_.endpoint(i);
    const auto body = co_await gateway_.ask_one(i, "/v3/maintenance/status", "{}", call);
    Result<StatusReply> status = body ? parse_status(*body) : fail(body.error());
    if (status) {
      one.status = std::move(*status);
    } else {
      one.error = status.error().what;
    }
    all.push_back(std::move(one));
  }
  co_return all;
}

}  // namespace om::metadata
