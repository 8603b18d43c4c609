#include "cluster/admission.h"

#include "base/base64.h"
#include "base/json_fields.h"
#include "base/log.h"
#include "model/json_text.h"
#include "security/certificates.h"

namespace om::cluster {
namespace {

namespace json = boost::json;

int64_t unix_seconds(io::WallTime time) {
  return std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
}

std::string write_record(const security::JoinTokenRecord& record) {
  return json::serialize(json::object{{"id", record.id},
                                      {"secret_hash", record.secret_hash.str()},
                                      {"expires_seconds", unix_seconds(record.expires)},
                                      {"used_by", record.used_by}});
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
  return record;
}

// A node's certificate holds for its name and for its host: were one of them another's, either
// could pose as the other.
io::Task<Result<void>> check_names(metadata::Metadata& metadata, std::string name, std::string host,
                                   io::Call call) {
  CO_TRY(const metadata::Snapshot nodes,
         co_await metadata.list(std::string(kNodesPrefix), std::move(call)));
  for (const metadata::Entry& node : nodes.entries) {
    const auto other = read_member(node.value);
    if (!other || other->name == name) continue;
    if (other->name == host) {
      co_return fail(Errc::invalid_argument,
                     "'{}' is the name of another node of this cluster: advertise an address or "
                     "another host name (cluster.advertise)",
                     host);
    }
    const auto others_host = security::canonical_host(other->peer.host);
    if (others_host && *others_host == name) {
      co_return fail(Errc::invalid_argument,
                     "'{}' is the host name under which node '{}' is reached: give this one "
                     "another name (node.name)",
                     name, other->name);
    }
  }
  co_return Result<void>{};
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
  CO_TRY_VOID(security::check_join_secret(record, request.secret, world.clock.wall_now()));
  CO_TRY(const std::string name, security::requested_name(request.certificate_request));

  security::IssueOptions issue;
  issue.name = name;
  if (const auto host = security::canonical_host(request.peer.host)) {
    CO_TRY_VOID(co_await check_names(metadata, name, *host, call));
    issue.addresses.push_back(*host);
  }
  issue.now = world.clock.wall_now();
  CO_TRY(const std::string certificate,
         security::issue_certificate(authority, request.certificate_request, issue, world.random));
  CO_TRY(const security::CertificateFacts facts, security::read_certificate(certificate));

  Member member;
  member.name = name;
  member.peer = request.peer;
  member.serial = facts.serial;
  member.version = request.version;
  member.joined_seconds = unix_seconds(world.clock.wall_now());
  record.used_by = name;
  const std::string node_key = std::string(kNodesPrefix) + name;
  metadata::Transaction transaction;
  transaction.compares.push_back(metadata::Compare::unchanged(*entry));
  transaction.compares.push_back(metadata::Compare::absent(node_key));
  transaction.operations.push_back(metadata::Operation::put(token_key, write_record(record)));
  transaction.operations.push_back(metadata::Operation::put(node_key, write_member(member)));
  CO_TRY(const metadata::Commit commit, co_await metadata.commit(std::move(transaction), call));
  if (!commit.done) {
    co_return fail(Errc::already_exists,
                   "a node named '{0}' is in this cluster already. If that is this machine and its "
                   "disk was lost: `ollamamax cluster remove {0}` on another node, then join with "
                   "a new token. Else give this one another name (node.name)",
                   name);
  }
  log_info("node joined", field("node", name), field("address", request.peer.str()));
  JoinAnswer answer{authority.certificate, certificate, {}};
  CO_TRY(const metadata::Snapshot nodes, co_await metadata.list(std::string(kNodesPrefix), call));
  for (const metadata::Entry& node : nodes.entries) {
    if (auto known = read_member(node.value)) answer.members.push_back(std::move(*known));
  }
  co_return answer;
}

std::string write_join_request(const JoinRequest& request) {
  return json::serialize(json::object{{"token", request.token_id},
                                      {"secret", base64_encode(request.secret.reveal())},
                                      {"certificate_request", request.certificate_request},
                                      {"host", request.peer.host},
                                      {"port", request.peer.port},
                                      {"version", request.version}});
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
