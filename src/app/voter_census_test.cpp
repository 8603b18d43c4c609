#include "app/voter_census.h"

#include <gtest/gtest.h>

#include "base/version.h"

namespace om::app {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

enum class Is { well, off, cut_off, draining };
enum class Role { none, chosen, votes, votes_as_asked };

// A cluster as "a" sees it, which looks every two seconds.
class Census : public ::testing::Test {
 protected:
  void set(const std::string& name, Role role, Is state = Is::well) {
    cluster::Member& member = members_[name];
    member.name = name;
    member.version = kVersion;
    member.voter = role != Role::none;
    member.asked = role == Role::votes_as_asked;
    member.etcd_client = role == Role::none || role == Role::chosen ? "" : "https://" + name;
    cluster::NodeInfo& node = nodes_[name];
    node.name = name;
    node.reaches_majority = state != Is::cut_off;
    node.state = state == Is::off        ? cluster::NodeState::unreachable
                 : state == Is::draining ? cluster::NodeState::draining
                                         : cluster::NodeState::ready;
  }

  VoterSurvey look(bool one_port = false) {
    std::vector<cluster::Member> members;
    std::vector<cluster::NodeInfo> nodes;
    for (const auto& [name, member] : members_) members.push_back(member);
    for (const auto& [name, node] : nodes_) nodes.push_back(node);
    return census_.look(members, *cluster::View::of(std::move(nodes)), "a", one_port, now_);
  }
  VoterSurvey look_for(io::Duration time) {
    for (const io::TimePoint end = now_ + time; now_ < end; now_ += seconds(2)) (void)look();
    return look();
  }
  bool is_surplus_after(io::Duration time, size_t wanted) {
    bool said = census_.is_surplus(look(), wanted, now_);
    for (const io::TimePoint end = now_ + time; now_ < end;) {
      now_ += seconds(2);
      said = census_.is_surplus(look(), wanted, now_);
    }
    return said;
  }

  std::map<std::string, cluster::Member> members_;
  std::map<std::string, cluster::NodeInfo> nodes_;
  VoterCensus census_;
  io::TimePoint now_{std::chrono::hours(1)};
};

TEST_F(Census, CountsVotersAndCandidates) {
  set("a", Role::votes);
  set("b", Role::chosen);
  set("c", Role::none);
  set("d", Role::none, Is::draining);
  set("e", Role::none, Is::off);
  set("f", Role::none);
  const VoterSurvey survey = look();
  EXPECT_EQ(survey.voters, 2U);
  EXPECT_TRUE(survey.is_awaiting);
  EXPECT_FALSE(survey.all_well);
  EXPECT_EQ(survey.candidates, 2U);
  EXPECT_EQ(survey.candidate, "c");
  EXPECT_EQ(survey.lost + survey.never_voted + survey.to_demote, "");
}

TEST_F(Census, WithOnePortOnlyThoseThatKnowItsWayMayBecomeVoters) {
  set("a", Role::votes);
  set("b", Role::none);
  set("c", Role::none);
  members_["b"].version = "0.2.0";
  EXPECT_EQ(look(false).candidate, "b");
  EXPECT_EQ(look(true).candidate, "c");
}

TEST_F(Census, AVoterIsLostAfterAMinuteAwayAndLaterIfItServesOn) {
  for (const std::string name : {"a", "b", "c"}) set(name, Role::votes);
  set("c", Role::votes, Is::off);
  EXPECT_EQ(look_for(seconds(60)).lost, "");
  EXPECT_EQ(look_for(seconds(2)).lost, "c");
  set("c", Role::votes);
  EXPECT_EQ(look_for(seconds(2)).lost, "");
  set("c", Role::votes, Is::cut_off);
  EXPECT_EQ(look_for(minutes(10)).lost, "");
  EXPECT_EQ(look_for(seconds(2)).lost, "c");
}

TEST_F(Census, AVoterThatWasBackMeanwhileIsAwayAnew) {
  for (const std::string name : {"a", "b", "c"}) set(name, Role::votes);
  set("c", Role::votes, Is::off);
  (void)look_for(seconds(50));
  set("c", Role::votes, Is::draining);
  EXPECT_TRUE(look().all_well) << "one that is drained votes on";
  set("c", Role::votes, Is::off);
  EXPECT_EQ(look_for(seconds(50)).lost, "");
}

TEST_F(Census, NeverLosesTheOneThatLooks) {
  set("a", Role::votes, Is::cut_off);
  set("b", Role::votes);
  const VoterSurvey survey = look_for(minutes(20));
  EXPECT_EQ(survey.lost, "");
  EXPECT_EQ(survey.to_demote, "b");
}

// Others decided meanwhile, and it may have come and gone.
TEST_F(Census, WhatItSawBeforeAPauseSaysNothing) {
  set("a", Role::votes);
  set("b", Role::votes, Is::off);
  (void)look_for(seconds(58));
  now_ += seconds(31);
  EXPECT_EQ(look_for(seconds(60)).lost, "");
  EXPECT_EQ(look_for(seconds(2)).lost, "b");
}

TEST_F(Census, WaitsFiveMinutesForAVoteAndOneMinuteForANodeThatIsOff) {
  set("a", Role::votes);
  set("b", Role::chosen);
  EXPECT_EQ(look_for(minutes(5)).never_voted, "");
  EXPECT_EQ(look_for(seconds(2)).never_voted, "b");
  set("b", Role::none);
  (void)look();
  set("b", Role::chosen, Is::off);
  EXPECT_EQ(look_for(seconds(60)).never_voted, "");
  EXPECT_EQ(look_for(seconds(2)).never_voted, "b");
}

TEST_F(Census, OneThatWasGivenUpIsNoCandidateForAnHour) {
  set("a", Role::votes);
  set("b", Role::none);
  set("c", Role::none);
  census_.note_given_up("b", now_);
  EXPECT_EQ(look().candidate, "c");
  EXPECT_EQ(look_for(minutes(60)).candidates, 1U);
  EXPECT_EQ(look_for(seconds(2)).candidate, "b");
}

TEST_F(Census, ThereAreTooManyAfterAMinuteOfThatAllWell) {
  for (const std::string name : {"a", "b", "c"}) set(name, Role::votes);
  EXPECT_FALSE(is_surplus_after(seconds(60), 1));
  EXPECT_TRUE(is_surplus_after(seconds(2), 1));
  EXPECT_FALSE(is_surplus_after(minutes(5), 3));
  EXPECT_FALSE(is_surplus_after(seconds(60), 1)) << "it begins anew";
  set("b", Role::votes, Is::off);
  EXPECT_FALSE(is_surplus_after(minutes(5), 1)) << "the vote of one that is off may be needed";
  set("b", Role::votes);
  EXPECT_FALSE(is_surplus_after(seconds(60), 1));
}

TEST_F(Census, AnEvenNumberIsTooManyUnlessAnotherNodeCanMakeItOdd) {
  set("a", Role::votes);
  set("b", Role::votes);
  set("c", Role::none, Is::off);
  EXPECT_TRUE(is_surplus_after(seconds(62), 3));
  set("c", Role::none);
  EXPECT_FALSE(is_surplus_after(minutes(5), 3));
}

TEST_F(Census, DemotesNeitherItselfNorOneThatAPersonMadeAVoter) {
  set("a", Role::votes);
  set("b", Role::votes);
  set("c", Role::votes_as_asked);
  EXPECT_EQ(look().to_demote, "b");
  set("b", Role::votes_as_asked);
  EXPECT_EQ(look().to_demote, "");
  EXPECT_FALSE(is_surplus_after(minutes(5), 1));
}

}  // namespace
}  // namespace om::app
