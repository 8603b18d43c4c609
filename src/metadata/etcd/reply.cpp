#include "metadata/etcd/reply.h"

#include <boost/json.hpp>

#include "base/base64.h"
#include "base/strings.h"

namespace om::metadata {
namespace {

namespace json = boost::json;

constexpr size_t kErrorTextBytesMax = 300;

Result<json::object> parse_object(std::string_view text) {
  boost::system::error_code error;
  auto value = json::parse(text, error);
  if (error || !value.is_object()) return fail(Errc::corrupt, "etcd: the reply is not JSON");
  return std::move(value.get_object());
}

// Streams wrap each message into {"result": ...}.
Result<json::object> parse_message(std::string_view text) {
  TRY(auto object, parse_object(trim(text)));
  if (auto* result = object.if_contains("result")) {
    if (!result->is_object()) return fail(Errc::corrupt, "etcd: the result is not an object");
    json::object inner = result->get_object();
    return inner;
  }
  if (object.contains("error")) {
    return fail(Errc::unavailable, "{}", parse_refusal(200, text).error.what);
  }
  return object;
}

// The fields of one message of etcd, whose 64-bit numbers are strings; the first field of a wrong
// type makes it corrupt. Messages between nodes: JsonFields.
class Fields {
 public:
  explicit Fields(const json::object& object) : object_(object) {}

  template <class Number>
  Fields& number(std::string_view name, Number& into) {
    const auto* value = object_.if_contains(name);
    if (value == nullptr) return *this;
    std::optional<Number> parsed;
    if (value->is_string()) parsed = parse_number<Number>(std::string_view(value->get_string()));
    if (value->is_int64() && std::in_range<Number>(value->get_int64())) {
      parsed = static_cast<Number>(value->get_int64());
    }
    return set(name, std::move(parsed), into);
  }
  Fields& flag(std::string_view name, bool& into) {
    const auto* value = object_.if_contains(name);
    if (value == nullptr) return *this;
    return set(name, value->is_bool() ? std::optional(value->get_bool()) : std::nullopt, into);
  }
  Fields& text(std::string_view name, std::string& into) {
    const auto* value = object_.if_contains(name);
    if (value == nullptr) return *this;
    std::optional<std::string> parsed;
    if (value->is_string()) parsed = std::string(value->get_string());
    return set(name, std::move(parsed), into);
  }
  Fields& bytes(std::string_view name, std::string& into) {
    std::string coded;
    text(name, coded);
    auto decoded = base64_decode(coded);
    return set(name, decoded ? std::optional(std::move(*decoded)) : std::nullopt, into);
  }
  Fields& texts(std::string_view name, std::vector<std::string>& into) {
    for (const auto& value : list(name)) {
      if (!value.is_string()) return broken(name);
      into.emplace_back(value.get_string());
    }
    return *this;
  }
  const json::array& list(std::string_view name) {
    static const json::array none;
    const auto* value = object_.if_contains(name);
    if (value != nullptr && !value->is_array()) broken(name);
    return value != nullptr && value->is_array() ? value->get_array() : none;
  }
  const json::object& object(std::string_view name) {
    static const json::object none;
    const auto* value = object_.if_contains(name);
    if (value != nullptr && !value->is_object()) broken(name);
    return value != nullptr && value->is_object() ? value->get_object() : none;
  }

  Fields& broken(std::string_view name) {
    if (ok_) what_ = name;
    ok_ = false;
    return *this;
  }
  Result<void> check() const {
    if (ok_) return {};
    return fail(Errc::corrupt, "etcd: '{}' in the reply is not as it should be", what_);
  }

 private:
  template <class T>
  Fields& set(std::string_view name, std::optional<T> value, T& into) {
    if (!value) return broken(name);
    into = std::move(*value);
    return *this;
  }
  const json::object& object_;
  bool ok_ = true;
  std::string what_;
};

Result<ReplyHeader> header_of(Fields& message) {
  ReplyHeader header;
  Fields fields(message.object("header"));
  fields.number("cluster_id", header.cluster)
      .number("member_id", header.member)
      .number("revision", header.revision);
  TRY_VOID(fields.check());
  return header;
}

Result<Entry> entry_of(const json::value& value, std::string_view prefix) {
  if (!value.is_object()) return fail(Errc::corrupt, "etcd: an entry is not an object");
  Entry entry;
  Fields fields(value.get_object());
  fields.bytes("key", entry.key)
      .bytes("value", entry.value)
      .number("create_revision", entry.created)
      .number("mod_revision", entry.modified)
      .number("version", entry.version)
      .number("lease", entry.lease);
  TRY_VOID(fields.check());
  if (!entry.key.starts_with(prefix)) return fail(Errc::corrupt, "etcd: a key of another prefix");
  entry.key.erase(0, prefix.size());
  return entry;
}

Result<Event> event_of(const json::value& value, std::string_view prefix) {
  if (!value.is_object()) return fail(Errc::corrupt, "etcd: an event is not an object");
  Fields fields(value.get_object());
  std::string type;
  fields.text("type", type);
  const auto* entry = value.get_object().if_contains("kv");
  TRY_VOID(fields.check());
  if (entry == nullptr) return fail(Errc::corrupt, "etcd: an event without its key");
  Event event;
  TRY(event.entry, entry_of(*entry, prefix));
  event.removed = type == "DELETE";
  return event;
}

struct KnownRefusal {
  std::string_view text;
  Errc code;
  Refusal::Outcome outcome;
};
using enum Refusal::Outcome;

// The first that is part of the text counts.
constexpr std::array kKnown = {
    KnownRefusal{"no leader", Errc::not_leader, not_done},
    KnownRefusal{"not supported for learner", Errc::unavailable, not_done},
    KnownRefusal{"too many requests", Errc::overloaded, not_done},
    KnownRefusal{"timed out", Errc::unavailable, unknown},
    KnownRefusal{"leader changed", Errc::unavailable, unknown},
    KnownRefusal{"server stopped", Errc::unavailable, unknown},
    KnownRefusal{"proposal dropped", Errc::unavailable, not_done},
    KnownRefusal{"deadline exceeded", Errc::unavailable, unknown},
    KnownRefusal{"lease not found", Errc::not_found, refused},
    KnownRefusal{"lease already exists", Errc::already_exists, refused},
    KnownRefusal{"has been compacted", Errc::corrupt, refused},
    KnownRefusal{"request is too large", Errc::invalid_argument, refused},
    KnownRefusal{"duplicate key", Errc::invalid_argument, refused},
    KnownRefusal{"space exceeded", Errc::io_failed, refused},
    KnownRefusal{"member not found", Errc::not_found, refused},
    KnownRefusal{"Peer URLs already exists", Errc::already_exists, refused},
    KnownRefusal{"member ID already exist", Errc::already_exists, refused},
    KnownRefusal{"in sync with leader", Errc::overloaded, refused},
    KnownRefusal{"not enough started members", Errc::overloaded, refused},
    KnownRefusal{"unhealthy cluster", Errc::overloaded, refused},
    KnownRefusal{"too many learner", Errc::overloaded, refused},
    KnownRefusal{"only promote a learner", Errc::already_exists, refused},
    KnownRefusal{"permission denied", Errc::forbidden, refused},
    KnownRefusal{"invalid auth token", Errc::unauthenticated, refused},
    KnownRefusal{"authentication", Errc::unauthenticated, refused},
    KnownRefusal{"user name is empty", Errc::unauthenticated, refused},
};

// By gRPC's status code (https://grpc.io/docs/guides/status-codes/), for texts that are not known.
KnownRefusal by_code(int64_t grpc, int status) {
  switch (grpc) {
    case 3:
    case 9:
    case 11:
      return {"", Errc::invalid_argument, refused};
    case 5:
      return {"", Errc::not_found, refused};
    case 6:
      return {"", Errc::already_exists, refused};
    case 7:
      return {"", Errc::forbidden, refused};
    case 8:
      return {"", Errc::overloaded, not_done};
    case 12:
      return {"", Errc::unsupported, refused};
    case 16:
      return {"", Errc::unauthenticated, refused};
    default:
      break;
  }
  if (status == 401 || status == 403) return {"", Errc::forbidden, refused};
  if (status == 404) return {"", Errc::unsupported, refused};
  return {"", Errc::unavailable, unknown};
}

}  // namespace

Refusal parse_refusal(int status, std::string_view body) {
  std::string what;
  int64_t code = -1;
  if (const auto object = parse_object(trim(body))) {
    // Plain replies have {"error": text, "code"}, streams {"error": {"message", "grpc_code"}}.
    Fields outer(*object);
    const auto* error = object->if_contains("error");
    if (error && error->is_object()) {
      Fields(error->get_object()).text("message", what).number("grpc_code", code);
    } else {
      outer.text("error", what).text("message", what).number("code", code);
    }
  } else {
    what = trim(body.substr(0, kErrorTextBytesMax));
  }
  what.resize(std::min(what.size(), kErrorTextBytesMax));
  KnownRefusal known = by_code(code, status);
  for (const auto& one : kKnown) {
    if (!what.contains(one.text)) continue;
    known = one;
    break;
  }
  if (what.empty()) what = fmt::format("status {}", status);
  return {{known.code, what.starts_with("etcd") ? what : "etcd: " + what}, known.outcome};
}

Result<RangeReply> parse_range(std::string_view body, std::string_view prefix) {
  TRY(const auto message, parse_message(body));
  Fields fields(message);
  RangeReply reply;
  TRY(reply.header, header_of(fields));
  fields.flag("more", reply.more);
  for (const auto& value : fields.list("kvs")) {
    TRY(auto entry, entry_of(value, prefix));
    reply.entries.push_back(std::move(entry));
  }
  TRY_VOID(fields.check());
  return reply;
}

Result<TransactionReply> parse_transaction(std::string_view body) {
  TRY(const auto message, parse_message(body));
  Fields fields(message);
  TransactionReply reply;
  TRY(reply.header, header_of(fields));
  fields.flag("succeeded", reply.succeeded);
  const auto& responses = fields.list("responses");
  TRY_VOID(fields.check());
  if (reply.succeeded || responses.empty()) return reply;
  if (!responses.front().is_object()) return fail(Errc::corrupt, "etcd: not a response");
  Fields first(responses.front().get_object());
  Fields range(first.object("response_range"));
  const auto& found = range.list("kvs");
  TRY_VOID(first.check());
  TRY_VOID(range.check());
  if (found.empty()) return reply;
  TRY(const auto entry, entry_of(found.front(), ""));
  reply.found = entry.created;
  return reply;
}

Result<LeaseReply> parse_lease(std::string_view body) {
  TRY(const auto message, parse_message(body));
  Fields fields(message);
  LeaseReply reply;
  fields.number("ID", reply.id).number("TTL", reply.time_to_live);
  TRY_VOID(fields.check());
  return reply;
}

Result<WatchReply> parse_watch(std::string_view line, std::string_view prefix) {
  TRY(const auto message, parse_message(line));
  Fields fields(message);
  WatchReply reply;
  TRY(reply.header, header_of(fields));
  fields.flag("created", reply.created)
      .flag("canceled", reply.cancelled)
      .number("compact_revision", reply.compacted);
  for (const auto& value : fields.list("events")) {
    TRY(auto event, event_of(value, prefix));
    reply.events.push_back(std::move(event));
  }
  TRY_VOID(fields.check());
  return reply;
}

Result<MembersReply> parse_members(std::string_view body) {
  TRY(const auto message, parse_message(body));
  Fields fields(message);
  MembersReply reply;
  TRY(reply.header, header_of(fields));
  Fields added(fields.object("member"));
  added.number("ID", reply.added);
  for (const auto& value : fields.list("members")) {
    if (!value.is_object()) return fail(Errc::corrupt, "etcd: a member is not an object");
    Member member;
    Fields one(value.get_object());
    one.number("ID", member.id)
        .text("name", member.name)
        .texts("peerURLs", member.peer_urls)
        .texts("clientURLs", member.client_urls)
        .flag("isLearner", member.learner);
    TRY_VOID(one.check());
    reply.members.push_back(std::move(member));
  }
  TRY_VOID(added.check());
  TRY_VOID(fields.check());
  return reply;
}

Result<StatusReply> parse_status(std::string_view body) {
  TRY(const auto message, parse_message(body));
  Fields fields(message);
  StatusReply reply;
  TRY(reply.header, header_of(fields));
  fields.text("version", reply.version)
      .number("leader", reply.leader)
      .number("dbSize", reply.database_bytes)
      .number("dbSizeInUse", reply.database_bytes_in_use)
      .number("raftIndex", reply.raft_index)
      .number("raftAppliedIndex", reply.raft_applied_index)
      .flag("isLearner", reply.learner)
      .texts("errors", reply.errors);
  TRY_VOID(fields.check());
  return reply;
}

}  // namespace om::metadata
