// Replies as etcd 3.4.23 really sent them.
#include "metadata/etcd/reply.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "metadata/etcd/request.h"

namespace om::metadata {
namespace {

using enum Refusal::Outcome;

TEST(EtcdReply, TakesEntriesOutOfARange) {
  const auto reply = parse_range(
      R"({"header":{"cluster_id":"324952591200643719","member_id":"3319814642761637952",)"
      R"("revision":"12","raft_term":"2"},"kvs":[{"key":"L3AvYQ==","create_revision":"2",)"
      R"("mod_revision":"3","version":"2","value":"dw==","lease":"77"},{"key":"L3AvYg=="}],)"
      R"("more":true,"count":"3"})",
      "/p/");
  ASSERT_TRUE(reply.has_value()) << reply.error().what;
  EXPECT_EQ(reply->header.cluster, 324952591200643719u);
  EXPECT_EQ(reply->header.revision, 12);
  EXPECT_TRUE(reply->more);
  ASSERT_EQ(reply->entries.size(), 2u);
  EXPECT_EQ(reply->entries[0].key, "a");
  EXPECT_EQ(reply->entries[0].value, "w");
  EXPECT_EQ(reply->entries[0].created, 2);
  EXPECT_EQ(reply->entries[0].modified, 3);
  EXPECT_EQ(reply->entries[0].version, 2);
  EXPECT_EQ(reply->entries[0].lease, 77);
  EXPECT_EQ(reply->entries[1].value, "");
}

TEST(EtcdReply, IsCorruptWhenAFieldIsNotWhatItShouldBe) {
  for (const std::string_view text :
       {"", "[]", "{", R"({"header":7})", R"({"header":{"revision":"x"}})", R"({"kvs":{}})",
        R"({"kvs":[7]})", R"({"kvs":[{"key":"%%"}]})", R"({"kvs":[{"key":"YQ==","version":true}]})",
        R"({"kvs":[{"key":"b3RoZXI="}]})", R"({"more":"yes"})",
        R"({"header":{"revision":"99999999999999999999"}})"}) {
    const auto reply = parse_range(text, "/p/");
    ASSERT_FALSE(reply.has_value()) << text;
    EXPECT_EQ(reply.error().code, Errc::corrupt) << text;
  }
}

TEST(EtcdReply, TellsOfATransactionWhereItsRequestWasDoneBefore) {
  const auto done = parse_transaction(R"({"header":{"revision":"3"},"succeeded":true})");
  EXPECT_TRUE(done->succeeded);
  EXPECT_EQ(done->header.revision, 3);
  const auto known = parse_transaction(
      R"({"header":{"revision":"9"},"responses":[{"response_range":{"header":{"revision":"9"},)"
      R"("kvs":[{"key":"aw==","create_revision":"5","mod_revision":"5","version":"1"}]}}]})");
  EXPECT_FALSE(known->succeeded);
  EXPECT_EQ(known->found, 5);
  const auto refusal = parse_transaction(
      R"({"header":{"revision":"9"},"responses":[{"response_range":{"header":{}}}]})");
  EXPECT_FALSE(refusal->succeeded);
  EXPECT_EQ(refusal->found, 0);
}

TEST(EtcdReply, TellsAWatchesEventsItsProgressAndItsEnd) {
  const auto events =
      parse_watch(R"({"result":{"header":{"revision":"4"},"events":[{"kv":{"key":"L3AvYQ==",)"
                  R"("mod_revision":"3","value":"dw=="}},{"type":"DELETE","kv":{"key":"L3AvYQ==",)"
                  R"("mod_revision":"4"}}]}})",
                  "/p/");
  ASSERT_TRUE(events.has_value()) << events.error().what;
  ASSERT_EQ(events->events.size(), 2u);
  EXPECT_FALSE(events->events[0].removed);
  EXPECT_TRUE(events->events[1].removed);
  EXPECT_EQ(events->events[1].entry.modified, 4);
  const auto end = parse_watch(R"({"result":{"canceled":true,"compact_revision":"3"}})", "");
  EXPECT_TRUE(end->cancelled);
  EXPECT_EQ(end->compacted, 3);
  const auto broken = parse_watch(
      R"({"error":{"grpc_code":14,"http_code":503,"message":"etcdserver: no leader"}})", "");
  ASSERT_FALSE(broken.has_value());
  EXPECT_EQ(broken.error().code, Errc::unavailable);
  EXPECT_EQ(broken.error().what, "etcdserver: no leader");
}

struct RefusalCase {
  int status;
  std::string_view body;
  Errc code;
  Refusal::Outcome outcome;
};

TEST(EtcdReply, MapsEachRefusalToWhatItLeavesOpen) {
  for (const auto& [status, body, code, outcome] : {
           RefusalCase{503, R"({"error":"etcdserver: no leader","code":14})", Errc::not_leader,
                       not_done},
           RefusalCase{503, R"({"error":"etcdserver: request timed out","code":14})",
                       Errc::unavailable, unknown},
           RefusalCase{503, R"({"error":"etcdserver: leader changed","code":14})",
                       Errc::unavailable, unknown},
           RefusalCase{404, R"({"error":"etcdserver: requested lease not found","code":5})",
                       Errc::not_found, refused},
           RefusalCase{429, R"({"error":"etcdserver: too many requests","code":8})",
                       Errc::overloaded, not_done},
           RefusalCase{
               400,
               R"({"error":"etcdserver: mvcc: required revision has been compacted","code":11})",
               Errc::corrupt, refused},
           RefusalCase{400,
                       R"({"error":"etcdserver: duplicate key given in txn request","code":3})",
                       Errc::invalid_argument, refused},
           RefusalCase{504, R"({"error":"context deadline exceeded","code":4})", Errc::unavailable,
                       unknown},
           RefusalCase{500, R"({"error":"something new","code":2})", Errc::unavailable, unknown},
           RefusalCase{429, R"({"error":"etcdserver: mvcc: database space exceeded","code":8})",
                       Errc::io_failed, refused},
           RefusalCase{404, "404 page not found\n", Errc::unsupported, refused},
           RefusalCase{502, "", Errc::unavailable, unknown},
       }) {
    const auto refusal = parse_refusal(status, body);
    EXPECT_EQ(refusal.error.code, code) << body;
    EXPECT_EQ(refusal.outcome, outcome) << body;
    EXPECT_FALSE(refusal.error.what.empty());
  }
}

TEST(EtcdRequest, WritesATransactionWithItsRequestKey) {
  Transaction transaction;
  transaction.compares = {Compare::absent("k"), Compare::equals("l", "v")};
  transaction.operations = {Operation::put("k", "v", 5), Operation::remove("m"),
                            Operation::remove_prefix("n/")};
  EXPECT_EQ(transaction_body(transaction, {"/d/", "/r/1", 7}),
            R"({"compare":[{"target":"MOD","result":"EQUAL","key":"L2Qvaw==","mod_revision":"0"},)"
            R"({"target":"VALUE","result":"EQUAL","key":"L2QvbA==","value":"dg=="},)"
            R"({"target":"MOD","result":"EQUAL","key":"L3IvMQ==","mod_revision":"0"}],)"
            R"("success":[{"request_put":{"key":"L2Qvaw==","value":"dg==","lease":"5"}},)"
            R"({"request_delete_range":{"key":"L2QvbQ=="}},)"
            R"({"request_delete_range":{"key":"L2Qvbi8=","range_end":"L2QvbjA="}},)"
            R"({"request_put":{"key":"L3IvMQ==","lease":"7"}}],)"
            R"("failure":[{"request_range":{"key":"L3IvMQ=="}}]})");
}

}  // namespace
}  // namespace om::metadata
