// How policies are changed, by several people at once, and how soon they are followed.
#include "transfer/replicas/policy.h"

#include "transfer/testing/replicated.h"

namespace om::transfer {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::random_bytes;

TEST(KeptPolicy, IsReadAsItWasWritten) {
  const KeptPolicy kept{{.factor = 3, .minimum = 2, .pinned = {"a"}, .popular_extra_max = 0}, 17};
  const auto read = KeptPolicy::parse(kept.to_json());
  ASSERT_TRUE(read) << read.error().what;
  EXPECT_EQ(read->policy, kept.policy);
  EXPECT_EQ(read->revision, 17);
  EXPECT_EQ(KeptPolicy::parse(R"({"factor":3})")->revision, std::nullopt);
}

TEST(KeptPolicy, RefusesARevisionThatCannotBe) {
  for (const std::string_view wrong :
       {R"({"revision":-1})", R"({"revision":"1"})", R"({"revision":null})", R"({"revision":1.5})",
        R"({"revision":9223372036854775808})", R"({"revisions":1})"}) {
    const auto read = KeptPolicy::parse(wrong);
    ASSERT_FALSE(read) << wrong;
    EXPECT_EQ(read.error().code, Errc::invalid_argument);
  }
}

class Policies : public testing::Replicated {
 protected:
  KeptPolicy read(size_t i, std::optional<model::Name> of = name("m")) {
    return wait(catalogue(i).read_policy(std::move(of), {})).value();
  }
  Result<metadata::Revision> set(size_t i, KeptPolicy policy,
                                 std::optional<model::Name> of = name("m")) {
    return wait(catalogue(i).set_policy(std::move(of), std::move(policy), {}));
  }
};

TEST_F(Policies, AChangeOfWhatWasReadBeforeAnotherOnesIsRefused) {
  make_cluster(2);
  KeptPolicy one = read(0), other = read(1);
  one.policy.factor = 3;
  other.policy.pinned = {"b"};
  ASSERT_TRUE(set(0, one));
  const auto refused = set(1, other);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::already_exists);
  other = read(1);
  EXPECT_EQ(other.policy.factor, 3);
  other.policy.pinned = {"b"};
  const auto done = set(1, other);
  ASSERT_TRUE(done) << done.error().what;
  const KeptPolicy both = read(0);
  EXPECT_EQ(both.policy.factor, 3);
  EXPECT_EQ(both.policy.pinned, std::vector<std::string>{"b"});
  EXPECT_EQ(both.revision, *done);
}

TEST_F(Policies, AChangeOfOneThatWasClearedSinceIsRefused) {
  make_cluster(2);
  for (const std::optional<model::Name>& of : {std::optional(name("m")), {}}) {
    KeptPolicy policy = read(0, of);
    policy.policy.factor = 3;
    ASSERT_TRUE(set(0, policy, of));
    policy = read(0, of);
    ASSERT_TRUE(wait(catalogue(1).clear_policy(of, {})));
    EXPECT_FALSE(set(0, policy, of));
    EXPECT_EQ(read(0, of).policy, Policy{});
  }
}

TEST_F(Policies, AChangeThatDoesNotSayOfWhatReplacesWhatIsThere) {
  make_cluster(2);
  ASSERT_TRUE(set(0, {{.factor = 3}}));
  ASSERT_TRUE(set(1, {{.factor = 4}}));
  EXPECT_EQ(read(0).policy.factor, 4);
}

// Written by a newer version.
TEST_F(Policies, OneThatCannotBeReadCanBeReplaced) {
  make_cluster(1);
  metadata::Transaction newer;
  newer.operations = {
      metadata::Operation::put("/policies/" + Catalogue::key_of(name("m")), R"({"factor":"all"})")};
  ASSERT_TRUE(wait(node(0).metadata.commit(newer, {}))->done);
  KeptPolicy policy = read(0);
  EXPECT_EQ(policy.policy, Policy{});
  policy.policy.factor = 4;
  const auto done = set(0, policy);
  EXPECT_TRUE(done) << done.error().what;
}

TEST_F(Policies, TheLastLookTellsOfWhichRevisionItIs) {
  make_cluster(2);
  ASSERT_TRUE(set(0, {{.factor = 3}}));
  pass(seconds(10));
  const KeptPolicy seen = replicas(1).state()->kept_policy_of(name("m"));
  EXPECT_EQ(seen.policy.factor, 3);
  EXPECT_EQ(seen.revision, read(1).revision);
  EXPECT_EQ(replicas(1).state()->kept_policy_of(std::nullopt).revision, 0);
}

TEST_F(Policies, NoCopyIsRemovedThatIsWantedSinceAMomentAgo) {
  make_cluster(2);
  put_model(0, "m", random_bytes(1000, 1));
  pass(seconds(20));
  ASSERT_EQ(holders("m"), "ab");
  node(0).metadata.answer_time = seconds(1);  // It has not looked again when it decides.
  ASSERT_TRUE(set(1, {{.minimum = 2}}));
  const auto refused = wait(replicas(0).remove_copy(name("m"), false, {}));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::forbidden);
  EXPECT_EQ(holders("m"), "ab");
  // And the right to remove one was given back.
  ASSERT_TRUE(set(1, {{.minimum = 1}}));
  EXPECT_TRUE(wait(replicas(0).remove_copy(name("m"), false, {})));
}

TEST_F(Policies, EveryNodeFollowsAChangeAtOnce) {
  make_cluster(3);
  pass(seconds(22));
  ASSERT_TRUE(set(0, {{.factor = 3}}));
  pass(milliseconds(200));
  for (size_t i = 0; i < 3; i++) {
    EXPECT_EQ(replicas(i).state()->policy_of(Catalogue::key_of(name("m"))).factor, 3) << i;
  }
  ASSERT_TRUE(wait(catalogue(2).clear_policy(name("m"), {})));
  pass(milliseconds(200));
  for (size_t i = 0; i < 3; i++) EXPECT_TRUE(replicas(i).state()->policies.empty()) << i;
}

TEST_F(Policies, WhatChangesDuringALookIsLookedAtAfterIt) {
  make_cluster(2);
  pass(seconds(20));
  stop_keeper(0);
  node(0).metadata.answer_time = seconds(1);
  start_keeper(0);
  pass(milliseconds(2500));  // It has read the policies, and waits for the rest.
  ASSERT_TRUE(set(1, {{.factor = 3}}));
  replicas(0).look_now();
  pass(milliseconds(2000));
  const std::string key = Catalogue::key_of(name("m"));
  EXPECT_EQ(replicas(0).state()->policy_of(key).factor, 2);  // That look has ended.
  pass(milliseconds(3000));
  EXPECT_EQ(replicas(0).state()->policy_of(key).factor, 3);
}

}  // namespace
}  // namespace om::transfer
