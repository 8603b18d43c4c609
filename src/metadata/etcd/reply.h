// What etcd's JSON gateway (3.4 and later, /v3/...) answers, as our types. Pure functions.
// Keys and values are base64, 64-bit numbers are strings, zeros are left out.
// Messages: etcd's api/etcdserverpb/rpc.proto,
// https://etcd.io/docs/v3.4/dev-guide/api_reference_v3/
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "metadata/metadata.h"

namespace om::metadata {

// Why a request failed, and whether it may have been done.
struct Refusal {
  enum class Outcome {
    refused,   // Final: asking again brings the same.
    not_done,  // Nothing was changed; another member, or this one later, may do it.
    unknown,   // It may have been done.
  };
  Error error;
  Outcome outcome = Outcome::refused;
};

// From a reply that is not 200, or an {"error"} line of a stream. All error texts of etcd that we
// act on are mapped here and nowhere else.
Refusal parse_refusal(int status, std::string_view body);

struct ReplyHeader {
  uint64_t cluster = 0, member = 0;
  Revision revision = 0;
};

// All parse_...: take `prefix` off the keys. corrupt: not such a reply, or a key without `prefix`.
struct RangeReply {
  ReplyHeader header;
  std::vector<Entry> entries;
  bool more = false;
};
Result<RangeReply> parse_range(std::string_view body, std::string_view prefix);

struct TransactionReply {
  ReplyHeader header;
  bool succeeded = false;
  Revision found = 0;  // Revision in which the key of its first range was created; 0: no such key.
};
Result<TransactionReply> parse_transaction(std::string_view body);

struct LeaseReply {
  LeaseId id = 0;
  int64_t time_to_live = 0;  // Seconds; 0 or less: it has ended.
};
Result<LeaseReply> parse_lease(std::string_view body);  // Of grant and of keepalive.

struct WatchReply {
  ReplyHeader header;
  bool created = false, cancelled = false;
  Revision compacted = 0;  // With `cancelled`: history begins after this.
  std::vector<Event> events;
};
// One line of the stream. unavailable: the line is an error that ends the stream.
Result<WatchReply> parse_watch(std::string_view line, std::string_view prefix);

struct Member {
  uint64_t id = 0;
  std::string name;  // Empty: added, and never started.
  std::vector<std::string> peer_urls, client_urls;
  bool learner = false;
};
struct MembersReply {
  ReplyHeader header;
  std::vector<Member> members;
  uint64_t added = 0;  // Of member/add: its id.
};
Result<MembersReply> parse_members(std::string_view body);

struct StatusReply {
  ReplyHeader header;
  std::string version;
  uint64_t leader = 0;  // 0: none is known.
  int64_t database_bytes = 0, database_bytes_in_use = 0;
  uint64_t raft_index = 0, raft_applied_index = 0;
  bool learner = false;
  std::vector<std::string> errors;
};
Result<StatusReply> parse_status(std::string_view body);

}  // namespace om::metadata
