#include "transfer/testing/replicated.h"

namespace om::transfer {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::random_bytes;

using Newcomer = testing::Replicated;

TEST_F(Newcomer, KeepsItsOwnModelsWhereTheClusterMeansOthersByTheirNames) {
  make_nodes(3);
  keepers_.resize(3);
  start_keeper(0);
  start_keeper(1);
  const std::string deleted = random_bytes(1000, 1);
  const std::string ours = put_model(0, "m", random_bytes(1000, 2));
  put_model(0, "gone", deleted);
  const std::string same = put_model(0, "same", random_bytes(1000, 3));
  pass(seconds(20));
  ASSERT_TRUE(remove(0, "gone"));

  const std::string own = put_model(2, "m", random_bytes(1000, 4));
  const std::string kept = put_model(2, "gone", deleted);
  put_model(2, "same", random_bytes(1000, 3));
  put_model(2, "alone", random_bytes(1000, 5));
  start_keeper(2, true);
  pass(seconds(30));
  EXPECT_EQ(settled_, 1);
  EXPECT_EQ(node(2).store->read_manifest(name("m:latest-c")).value(), own);
  EXPECT_EQ(node(2).store->read_manifest(name("gone:latest-c")).value(), kept);
  EXPECT_THAT(holders("m:latest-c"), ::testing::HasSubstr("c"));
  EXPECT_EQ(catalogue(0).find(name("m"))->digest, Digest::of(ours));
  EXPECT_EQ(catalogue(0).find(name("same"))->digest, Digest::of(same));
  EXPECT_FALSE(catalogue(0).find(name("same:latest-c")));
  for (const char* text : {"m:latest-c", "gone:latest-c", "alone"}) {
    EXPECT_TRUE(catalogue(0).find(name(text))) << text;
  }
  EXPECT_FALSE(catalogue(0).find(name("gone")));
  EXPECT_EQ(replicas(2).renamed().size(), 2u);
  EXPECT_EQ(replicas(2).renamed().at(name("m").str()), name("m:latest-c").str());
}

TEST_F(Newcomer, TakesAnotherNameWhereThatMeansSomethingElseToo) {
  make_nodes(2);
  keepers_.resize(2);
  start_keeper(0);
  put_model(0, "m", random_bytes(1000, 6));
  put_model(0, "m:latest-b", random_bytes(1000, 7));
  pass(seconds(20));
  const std::string own = put_model(1, "m", random_bytes(1000, 8));
  start_keeper(1, true);
  pass(seconds(30));
  EXPECT_EQ(node(1).store->read_manifest(name("m:latest-b-2")).value(), own);
}

TEST_F(Newcomer, TellsHowTheCopiesFareWhileItsDiskIsSlow) {
  make_nodes(2);
  keepers_.resize(2);
  start_keeper(0);
  put_model(0, "m", random_bytes(1000, 11));
  pass(seconds(20));
  put_model(1, "m", random_bytes(1000, 12));
  sim_.workers().job_max = seconds(10);
  start_keeper(1, true);
  size_t told = 0;
  for (int i = 0; i < 1000 && settled_ == 0; i++) {
    told = std::max(told, replicas(1).health().size());
    pass(milliseconds(100));
  }
  EXPECT_EQ(told, 1U);
  EXPECT_EQ(settled_, 1);
}

TEST_F(Newcomer, TellsHowTheCopiesFareWhileItsDiskTakesNoWrites) {
  make_nodes(2);
  keepers_.resize(2);
  start_keeper(0);
  put_model(0, "m", random_bytes(1000, 13));
  pass(seconds(20));
  const std::string own = put_model(1, "m", random_bytes(1000, 14));
  sim_.files().fail_from_call(1);
  start_keeper(1, true);
  pass(seconds(10));
  EXPECT_EQ(settled_, 0);
  EXPECT_EQ(replicas(1).health().size(), 1U);
  sim_.files().fail_from_call(0);
  pass(seconds(30));
  EXPECT_EQ(settled_, 1);
  EXPECT_EQ(node(1).store->read_manifest(name("m:latest-b")).value(), own);
}

// It was away, and the name got another meaning meanwhile.
TEST_F(Newcomer, IsNobodyWhoWasAMemberBefore) {
  make_cluster(2);
  put_model(0, "m", random_bytes(1000, 9));
  pass(seconds(20));
  ASSERT_EQ(holders("m"), "ab");
  kill(1);
  const std::string now = put_model(0, "m", random_bytes(1000, 10));
  ASSERT_TRUE(wait(catalogue(0).put(name("m"), now, {})));
  revive(1);
  pass(seconds(30));
  EXPECT_EQ(node(1).store->read_manifest(name("m")).value(), now);
  EXPECT_EQ(settled_, 0);
  EXPECT_FALSE(catalogue(0).find(name("m:latest-b")));
}

}  // namespace
}  // namespace om::transfer
