// What nodes write to each other about themselves and the cluster's facts arrives as it was.
#include "engine/remote/wire.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "cluster/admission.h"
#include "cluster/metadata_wire.h"
#include "cluster/report_wire.h"

namespace om::cluster {
namespace {

namespace json = boost::json;

std::string any_bytes() {
  const auto numbers = *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 256));
  return {numbers.begin(), numbers.end()};
}

double any_fraction() { return *rc::gen::inRange(0, 1'000'000) / 4096.0; }

Digest any_digest() { return Digest::of(std::to_string(*rc::gen::arbitrary<int>())); }

// As the other node reads it.
json::object over_the_wire(const json::object& object) {
  const auto line = engine::parse_line(json::serialize(object));
  RC_ASSERT(line.has_value());
  return *line;
}

RunnerInfo any_runner() {
  RunnerInfo runner;
  runner.model = any_bytes();
  runner.key = any_digest();
  runner.context_length = *rc::gen::arbitrary<int>();
  runner.slots = *rc::gen::arbitrary<int>();
  runner.running = *rc::gen::arbitrary<int>();
  runner.queued = *rc::gen::arbitrary<int>();
  runner.size_bytes = *rc::gen::arbitrary<uint64_t>();
  runner.loading = *rc::gen::arbitrary<bool>();
  runner.load_progress = *rc::gen::inRange(0, 21) / 20.0;
  runner.output_rate = any_fraction();
  runner.prompt_rate = any_fraction();
  runner.pending_prompt_tokens = *rc::gen::arbitrary<int64_t>();
  return runner;
}

void expect_same(const RunnerInfo& a, const RunnerInfo& b) {
  RC_ASSERT(a.model == b.model);
  RC_ASSERT(a.key == b.key);
  RC_ASSERT(a.context_length == b.context_length);
  RC_ASSERT(a.slots == b.slots);
  RC_ASSERT(a.running == b.running);
  RC_ASSERT(a.queued == b.queued);
  RC_ASSERT(a.size_bytes == b.size_bytes);
  RC_ASSERT(a.loading == b.loading);
  RC_ASSERT(a.load_progress == b.load_progress);
  RC_ASSERT(a.output_rate == b.output_rate);
  RC_ASSERT(a.prompt_rate == b.prompt_rate);
  RC_ASSERT(a.pending_prompt_tokens == b.pending_prompt_tokens);
}

RC_GTEST_PROP(ClusterWire, AReportArrivesWhole, ()) {
  NodeInfo node;
  node.name = "blue";
  node.state = *rc::gen::element(NodeState::ready, NodeState::draining);
  node.memory_total = *rc::gen::arbitrary<uint64_t>();
  node.memory_used = *rc::gen::arbitrary<uint64_t>();
  node.graphics_total = *rc::gen::arbitrary<uint64_t>();
  node.graphics_used = *rc::gen::arbitrary<uint64_t>();
  node.disk_free = *rc::gen::arbitrary<uint64_t>();
  node.cores = *rc::gen::arbitrary<int>();
  node.processors = *rc::gen::inRange(0, 4096) / 16.0;
  node.runners.resize(*rc::gen::inRange<size_t>(0, 4));
  for (RunnerInfo& runner : node.runners) runner = any_runner();
  std::vector<Digest> blobs(*rc::gen::inRange<size_t>(0, 5));
  for (Digest& digest : blobs) digest = any_digest();
  node.blobs = std::make_shared<const std::vector<Digest>>(blobs);
  NodeInfo known;
  known.name = "blue";
  known.runners.resize(2);
  const auto line = engine::parse_line(encode_report(node, true));
  RC_ASSERT(line.has_value());
  const NodeInfo read = decode_report(*line, known);
  RC_ASSERT(read.name == "blue");
  RC_ASSERT(read.state == node.state);
  RC_ASSERT(read.memory_total == node.memory_total);
  RC_ASSERT(read.memory_used == node.memory_used);
  RC_ASSERT(read.graphics_total == node.graphics_total);
  RC_ASSERT(read.graphics_used == node.graphics_used);
  RC_ASSERT(read.disk_free == node.disk_free);
  RC_ASSERT(read.cores == node.cores);
  RC_ASSERT(read.processors == node.processors);
  RC_ASSERT(read.runners.size() == node.runners.size());
  for (size_t i = 0; i < read.runners.size(); i++) expect_same(read.runners[i], node.runners[i]);
  for (const Digest& digest : blobs) RC_ASSERT(read.has_blob(digest));
  RC_ASSERT(read.blobs->size() == blobs.size());
}

TEST(ClusterWire, AReportWithoutBlobsLeavesThoseThatAreKnown) {
  NodeInfo known;
  known.blobs = std::make_shared<const std::vector<Digest>>(std::vector{Digest::of("a")});
  const auto line = engine::parse_line(encode_report({}, false));
  ASSERT_TRUE(line.has_value());
  EXPECT_TRUE(decode_report(*line, known).has_blob(Digest::of("a")));
}

TEST(ClusterWire, ANodeInAStateOfANewerVersionIsGivenNoWork) {
  const auto state = [](std::string_view line) {
    return decode_report(*engine::parse_line(std::string(line)), {}).state;
  };
  EXPECT_EQ(state(R"({"state":"ready"})"), NodeState::ready);
  EXPECT_EQ(state(R"({"state":"resting"})"), NodeState::draining);
}

RC_GTEST_PROP(ClusterWire, ATransactionArrivesWhole, ()) {
  using metadata::Compare;
  using metadata::Operation;
  metadata::Transaction transaction;
  transaction.request_id = any_bytes();
  transaction.compares.resize(*rc::gen::inRange<size_t>(0, 4));
  for (Compare& compare : transaction.compares) {
    compare = *rc::gen::arbitrary<bool>() ? Compare::equals(any_bytes(), any_bytes())
                                          : Compare::absent(any_bytes());
    if (compare.modified) compare.modified = *rc::gen::arbitrary<int64_t>();
  }
  transaction.operations.resize(*rc::gen::inRange<size_t>(0, 4));
  for (Operation& operation : transaction.operations) {
    operation.kind = *rc::gen::element(Operation::Kind::put, Operation::Kind::remove,
                                       Operation::Kind::remove_prefix);
    operation.key = any_bytes();
    operation.value = any_bytes();
    operation.lease = *rc::gen::arbitrary<int64_t>();
  }
  const auto read = decode_transaction(over_the_wire(encode_transaction(transaction)));
  RC_ASSERT(read.has_value());
  RC_ASSERT(read->request_id == transaction.request_id);
  RC_ASSERT(read->compares.size() == transaction.compares.size());
  for (size_t i = 0; i < read->compares.size(); i++) {
    RC_ASSERT(read->compares[i].key == transaction.compares[i].key);
    RC_ASSERT(read->compares[i].modified == transaction.compares[i].modified);
    RC_ASSERT(read->compares[i].value == transaction.compares[i].value);
  }
  RC_ASSERT(read->operations.size() == transaction.operations.size());
  for (size_t i = 0; i < read->operations.size(); i++) {
    RC_ASSERT(read->operations[i].kind == transaction.operations[i].kind);
    RC_ASSERT(read->operations[i].key == transaction.operations[i].key);
    RC_ASSERT(read->operations[i].value == transaction.operations[i].value);
    RC_ASSERT(read->operations[i].lease == transaction.operations[i].lease);
  }
}

metadata::Entry any_entry() {
  metadata::Entry entry;
  entry.key = any_bytes();
  entry.value = any_bytes();
  entry.created = *rc::gen::arbitrary<int64_t>();
  entry.modified = *rc::gen::arbitrary<int64_t>();
  entry.version = *rc::gen::arbitrary<int64_t>();
  entry.lease = *rc::gen::arbitrary<int64_t>();
  return entry;
}

void expect_same(const metadata::Entry& a, const metadata::Entry& b) {
  RC_ASSERT(a.key == b.key);
  RC_ASSERT(a.value == b.value);
  RC_ASSERT(a.created == b.created);
  RC_ASSERT(a.modified == b.modified);
  RC_ASSERT(a.version == b.version);
  RC_ASSERT(a.lease == b.lease);
}

RC_GTEST_PROP(ClusterWire, ASnapshotAndEventsArriveWhole, ()) {
  metadata::Snapshot snapshot;
  snapshot.revision = *rc::gen::arbitrary<int64_t>();
  snapshot.entries.resize(*rc::gen::inRange<size_t>(0, 4));
  std::vector<metadata::Event> events;
  for (metadata::Entry& entry : snapshot.entries) {
    entry = any_entry();
    events.push_back({*rc::gen::arbitrary<bool>(), entry});
  }
  const metadata::Snapshot read = decode_snapshot(over_the_wire(encode_snapshot(snapshot)));
  RC_ASSERT(read.revision == snapshot.revision);
  RC_ASSERT(read.entries.size() == snapshot.entries.size());
  const auto told = decode_events(over_the_wire(encode_events(events)));
  RC_ASSERT(told.size() == events.size());
  for (size_t i = 0; i < told.size(); i++) {
    expect_same(read.entries[i], snapshot.entries[i]);
    expect_same(told[i].entry, events[i].entry);
    RC_ASSERT(told[i].removed == events[i].removed);
  }
}

TEST(ClusterWire, ATransactionThatIsNotUnderstoodIsRefusedWhole) {
  for (const char* text : {R"({"operations":[{"kind":"put","key":"a"},{"kind":"burn","key":"b"}]})",
                           R"({"operations":[7]})", R"({"compares":["a"]})"}) {
    const auto line = engine::parse_line(text);
    ASSERT_TRUE(line.has_value());
    const auto read = decode_transaction(*line);
    ASSERT_FALSE(read.has_value()) << text;
    EXPECT_EQ(read.error().code, Errc::corrupt);
  }
}

std::string any_text() {
  return *rc::gen::nonEmpty(rc::gen::container<std::string>(rc::gen::inRange<char>(' ', 127)));
}

Member any_member() {
  Member member;
  member.name = any_text();
  member.peer = io::Endpoint::tcp(any_text(), *rc::gen::inRange<uint16_t>(1, 65535));
  member.draining = *rc::gen::arbitrary<bool>();
  member.voter = *rc::gen::arbitrary<bool>();
  member.etcd_client = any_text();
  member.etcd_peer = any_text();
  member.serial = any_text();
  member.version = any_text();
  member.joined_seconds = *rc::gen::arbitrary<int64_t>();
  return member;
}

void expect_same(const Member& a, const Member& b) {
  RC_ASSERT(a.name == b.name);
  RC_ASSERT(a.peer == b.peer);
  RC_ASSERT(a.draining == b.draining);
  RC_ASSERT(a.voter == b.voter);
  RC_ASSERT(a.etcd_client == b.etcd_client);
  RC_ASSERT(a.etcd_peer == b.etcd_peer);
  RC_ASSERT(a.serial == b.serial);
  RC_ASSERT(a.version == b.version);
  RC_ASSERT(a.joined_seconds == b.joined_seconds);
}

RC_GTEST_PROP(ClusterWire, AMemberAndAJoinArriveWhole, ()) {
  JoinRequest request;
  request.token_id = std::string(16, 'a');
  request.secret = security::Secret(any_bytes());
  request.certificate_request = any_text();
  request.peer = io::Endpoint::tcp(any_text(), *rc::gen::inRange<uint16_t>(1, 65535));
  request.version = any_text();
  const auto asked = read_join_request(write_join_request(request));
  RC_ASSERT(asked.has_value());
  RC_ASSERT(asked->token_id == request.token_id);
  RC_ASSERT(asked->secret.reveal() == request.secret.reveal());
  RC_ASSERT(asked->certificate_request == request.certificate_request);
  RC_ASSERT(asked->peer == request.peer);
  RC_ASSERT(asked->version == request.version);
  JoinAnswer answer{any_text(), any_text(), {}};
  for (int i = *rc::gen::inRange(0, 3); i > 0; i--) answer.members.push_back(any_member());
  const auto read = read_join_answer(write_join_answer(answer));
  RC_ASSERT(read.has_value());
  RC_ASSERT(read->authority == answer.authority);
  RC_ASSERT(read->certificate == answer.certificate);
  RC_ASSERT(read->members.size() == answer.members.size());
  for (size_t i = 0; i < answer.members.size(); i++) {
    expect_same(read->members[i], answer.members[i]);
  }
}

TEST(ClusterWire, AMemberWithoutANameOrAnAddressIsNone) {
  for (const char* text : {"{}", R"({"name":"a","host":"h"})", R"({"name":"a","port":1})",
                           R"({"host":"h","port":1})", "[]", "x"}) {
    EXPECT_FALSE(read_member(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace om::cluster
