#include "cluster/admission.h"

#include <algorithm>
#include <cmath>

#include "base/base64.h"
#include "base/json_fields.h"
#include "base/log.h"
#include "io/wall_time.h"
#include "model/json_text.h"
#include "security/certificates.h"

namespace om::cluster {
namespace {

namespace json = boost::json;

// An expired token is remembered this long, so that a late joiner hears "expired", not "unknown".
constexpr std::chrono::hours kExpiredKept{24};
constexpr size_t kForgottenMax = 100;  // At once.

std::string write_record(const security::JoinTokenRecord& record) {
  return json::serialize(json::object{{"id", record.id},
                                      {"secret_hash", record.secret_hash.str()},
                                      {"expires_seconds", io::unix_seconds(record.expires)},
                                      {"used_by", record.used_by},
                                      {"used_key", record.used_key}});
}

Result<security::JoinTokenRecord> read_record(std::string_view text) {
  TRY(const json::object object, model::parse_json_object(text, "join token"));
  const JsonFields fields(object);
  security::JoinTokenRecord record;
  fields.read("id", record.id);
  TRY(record.secret_hash, Digest::parse(fields.text("secret_hash")));
  int64_t expires = 0;
  fields.read("expires_seconds", expires);
  record.expires = io::WallTime(std::chrono::seconds(expires));
  fields.read("used_by", record.used_by);
  fields.read("used_key", record.used_key);
  return record;
}

// A node's certificate holds for its name and for its host: were one of them another's, either
// could pose as the other.
Result<void> check_names(const std::vector<Member>& members, std::string_view name,
                         std::string_view host) {
  for (const Member& other : members) {
    if (other.name == name) continue;
    if (other.name == host) {
      return fail(Errc::invalid_argument,
                  "'{}' is the name of another node of this cluster: advertise an address or "
                  "another host name (cluster.advertise)",
                  host);
    }
    const auto others_host = security::canonical_host(other.peer.host);
    if (others_host && *others_host == name) {
      return fail(Errc::invalid_argument,
                  "'{}' is the host name under which node '{}' is reached: give this one another "
                  "name (node.name)",
                  name, other.name);
    }
  }
  return {};
}

// Certificates begin kClockSlack in the past: one that is given now would not hold there yet, or
// what that node gives as a voter one day would not hold here.
Result<void> check_clock(int64_t told_seconds, io::WallTime now) {
  if (told_seconds == 0) return {};
  const double ahead =
      static_cast<double>(told_seconds) - static_cast<double>(io::unix_seconds(now));
  if (std::abs(ahead) <= std::chrono::duration<double>(security::kClockSlack).count()) return {};
  return fail(Errc::invalid_argument,
              "this machine's clock is {:.0f} minutes {} that of the cluster: set it, then join "
              "with the same token",
              std::abs(ahead) / 60, ahead < 0 ? "behind" : "ahead of");
}

std::vector<Member> read_members(const metadata::Snapshot& nodes) {
  std::vector<Member> members;
  for (const metadata::Entry& node : nodes.entries) {
    if (auto member = read_member(node.value)) members.push_back(std::move(*member));
  }
  return members;
}

io::Task<Result<std::vector<metadata::Operation>>> forget_expired_tokens(
    metadata::Metadata& metadata, io::WallTime now, io::Call call) {
  std::vector<metadata::Operation> operations;
  CO_TRY(const metadata::Snapshot tokens,
         co_await metadata.list(std::string(kTokensPrefix), std::move(call)));
  for (const metadata::Entry& token : tokens.entries) {
    const auto record = read_record(token.value);
    if (!record || record->expires + kExpiredKept > now) continue;
    operations.push_back(metadata::Operation::remove(token.key));
    if (operations.size() >= kForgottenMax) break;
  }
  co_return operations;
}

Error not_let_in(std::string_view name) {
  return {Errc::already_exists,
          fmt::format("a node named '{0}' is in this cluster already. If that is this machine and "
                      "its disk was lost: `ollamamax cluster remove {0}` on another node, then "
                      "join with a new token. Else give this one another name (node.name)",
                      name)};
}

// The commit found something else than was read before it.
io::Task<Error> overtaken(metadata::Metadata& metadata, std::string token_key,
                          security::Secret secret, std::string name, bool is_again,
                          io::WallTime now, io::Call call) {
  if (is_again) {
    co_return Error{Errc::unavailable,
                    fmt::format("what is known of node '{}' has just changed: try again", name)};
  }
  const auto token = co_await metadata.get(token_key, std::move(call));
  if (!token) co_return token.error();
  if (*token) {
    const auto record = read_record((*token)->value);
    if (!record) co_return record.error();
    const auto good = security::check_join_secret(*record, secret, now);
    if (!good) co_return good.error();
  }
  co_return not_let_in(name);
}

}  // namespace

io::Task<Result<security::JoinToken>> offer_token(io::World& world, metadata::Metadata& metadata,
                                                  std::vector<io::Endpoint> endpoints,
                                                  Digest ca_pin, io::Duration life, io::Call call) {
  const io::WallTime expires = world.clock.wall_now() + life;
  if (endpoints.size() > security::JoinToken::kEndpointsMax) {
    endpoints.resize(security::JoinToken::kEndpointsMax);
  }
  CO_TRY(security::JoinToken token,
         security::make_join_token(std::move(endpoints), ca_pin, expires, world.random));
  metadata::Transaction transaction;
  CO_TRY(transaction.operations,
         co_await forget_expired_tokens(metadata, world.clock.wall_now(), call));
  transaction.operations.push_back(metadata::Operation::put(
      std::string(kTokensPrefix) + token.id, write_record(security::join_token_record(token))));
  CO_TRY_VOID(co_await metadata.commit(std::move(transaction), std::move(call)));
  co_return std::move(token);
}

io::Task<Result<JoinAnswer>> admit(io::World& world, metadata::Metadata& metadata,
                                   const security::Authority& authority, JoinRequest request,
                                   io::Call call) {
  const std::string token_key = std::string(kTokensPrefix) + request.token_id;
  CO_TRY(const std::optional<metadata::Entry> entry, co_await metadata.get(token_key, call));
  if (!entry) co_return fail(Errc::unauthenticated, "this join token is not known here");
  CO_TRY(security::JoinTokenRecord record, read_record(entry->value));
  const io::WallTime now = world.clock.wall_now();
  const std::string used_by = std::exchange(record.used_by, {});
  CO_TRY_VOID(security::check_join_secret(record, request.secret, now));
  CO_TRY(const std::string name, security::requested_name(request.certificate_request));
  CO_TRY(const Digest key, security::requested_key(request.certificate_request));
  const bool is_again = used_by == name && record.used_key == key.hex();
  record.used_by = is_again ? std::string() : used_by;
  CO_TRY_VOID(security::check_join_secret(record, request.secret, now));
  CO_TRY_VOID(check_clock(request.time_seconds, now));

  CO_TRY(const metadata::Snapshot nodes, co_await metadata.list(std::string(kNodesPrefix), call));
  std::vector<Member> members = read_members(nodes);
  security::IssueOptions issue;
  issue.name = name;
  if (const auto host = security::canonical_host(request.peer.host)) {
    CO_TRY_VOID(check_names(members, name, *host));
    issue.addresses.push_back(*host);
  }
  issue.now = now;
  const std::string node_key = std::string(kNodesPrefix) + name;
  const auto own = std::ranges::find(nodes.entries, node_key, &metadata::Entry::key);
  Member member;
  metadata::Transaction transaction;
  transaction.compares.push_back(metadata::Compare::unchanged(*entry));
  if (!is_again) {
    transaction.compares.push_back(metadata::Compare::absent(node_key));
  } else if (own == nodes.entries.end()) {
    co_return fail(Errc::forbidden, "node '{}' was removed since it joined with this token", name);
  } else {
    CO_TRY(member, read_member(own->value));
    issue.replaces = member.serial;
    transaction.compares.push_back(metadata::Compare::unchanged(*own));
  }
  CO_TRY(const std::string certificate,
         security::issue_certificate(authority, request.certificate_request, issue, world.random));
  CO_TRY(const security::CertificateFacts facts, security::read_certificate(certificate));

  if (!is_again) {
    member.serial = facts.serial;
    member.joined_seconds = io::unix_seconds(now);
  }
  member.name = name;
  member.peer = request.peer;
  member.version = request.version;
  record.used_by = name;
  record.used_key = key.hex();
  transaction.operations.push_back(metadata::Operation::put(token_key, write_record(record)));
  transaction.operations.push_back(metadata::Operation::put(node_key, write_member(member)));
  CO_TRY(const metadata::Commit commit, co_await metadata.commit(std::move(transaction), call));
  if (!commit.done) {
    co_return fail(co_await overtaken(metadata, token_key, request.secret, name, is_again, now,
                                      std::move(call)));
  }
  log_info("node joined", field("node", name), field("address", request.peer.str()));
  std::erase_if(members, [&name](const Member& other) { return other.name == name; });
  members.push_back(std::move(member));
  co_return JoinAnswer{authority.certificate, certificate, std::move(members)};
}

std::string write_join_request(const JoinRequest& request) {
  return json::serialize(json::object{{"token", request.token_id},
                                      {"secret", base64_encode(request.secret.reveal())},
                                      {"certificate_request", request.certificate_request},
                                      {"host", request.peer.host},
                                      {"port", request.peer.port},
                                      {"version", request.version},
                                      {"time_seconds", request.time_seconds}});
}

Result<JoinRequest> read_join_request(std::string_view text) {
  TRY(const json::object object, model::parse_json_object(text, "join request"));
  const JsonFields fields(object);
  JoinRequest request;
  fields.read("token", request.token_id);
  TRY(std::string secret, base64_decode(fields.text("secret")));
  request.secret = security::Secret(secret);
  fields.read("certificate_request", request.certificate_request);
  fields.read("host", request.peer.host);
  fields.read("port", request.peer.port);
  fields.read("version", request.version);
  fields.read("time_seconds", request.time_seconds);
  if (request.token_id.size() > 64 || request.peer.host.empty() || request.peer.port == 0) {
    return fail(Errc::invalid_argument, "a join request without a token or an address");
  }
  return request;
}

std::string write_join_answer(const JoinAnswer& answer) {
  json::array members;
  for (const Member& member : answer.members) members.emplace_back(write_member(member));
  return json::serialize(json::object{{"authority", answer.authority},
                                      {"certificate", answer.certificate},
                                      {"members", std::move(members)}});
}

Result<JoinAnswer> read_join_answer(std::string_view text) {
  TRY(const json::object object, model::parse_json_object(text, "join answer"));
  const JsonFields fields(object);
  JoinAnswer answer;
  fields.read("authority", answer.authority);
  fields.read("certificate", answer.certificate);
  if (const json::array* members = fields.array("members")) {
    for (const json::value& value : *members) {
      if (!value.is_string()) continue;
      TRY(Member member, read_member(value.get_string()));
      answer.members.push_back(std::move(member));
    }
  }
  if (answer.authority.empty() || answer.certificate.empty()) {
    return fail(Errc::corrupt, "the cluster's answer has no certificate");
  }
  return answer;
}

}  // namespace om::cluster
