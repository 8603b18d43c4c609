// What a node is told by voters that fail, each in its own way.
#include "cluster/remote_metadata.h"

#include <gtest/gtest.h>

#include "engine/remote/wire.h"
#include "http/server.h"
#include "io/co_assert_for_test.h"
#include "sim/world.h"

namespace om::cluster {
namespace {

using std::chrono::seconds;

constexpr const char* kHanging = "hanging";

// Answers every question with the same line; with none, the connection breaks.
class VoterForTest {
 public:
  VoterForTest(io::World& world, std::string line, std::string name = "voter")
      : name_(std::move(name)),
        clock_(world.clock),
        line_(std::move(line)),
        server_(world, {},
                [this](http::Request&, http::BodyReader& body, http::ResponseWriter& response) {
                  return answer(body, response);
                }) {
    const auto at = server_.listen(io::Endpoint::tcp("127.0.0.1", 0));
    CHECK(at.has_value());
    at_ = *at;
  }
  engine::PeerLink link() const { return {name_, at_, nullptr}; }
  int asked() const { return asked_; }
  io::Task<void> stop() { return server_.stop({}); }

 private:
  io::Task<void> answer(http::BodyReader& body, http::ResponseWriter& response) {
    (void)co_await body.read_all(1 << 20);
    asked_++;
    if (line_ == kHanging) co_return co_await hang(response);
    if (line_.empty()) co_return;
    const auto sent = co_await response.send(200, "application/x-ndjson", line_);
    EXPECT_TRUE(sent);
  }

  // As a voter does whose etcd hangs: the node itself is there.
  io::Task<void> hang(http::ResponseWriter& response) {
    auto going = co_await response.start(200, "application/x-ndjson");
    while (going) {
      going = co_await response.write(engine::kPulseLine);
      if (going) going = co_await clock_.sleep_for(engine::kPulseInterval);
    }
  }

  const std::string name_;
  io::Clock& clock_;
  const std::string line_;
  int asked_ = 0;
  http::Server server_;
  io::Endpoint at_;
};

const std::string kNoMajority = engine::error_line({Errc::not_leader, "no majority"});
const std::string kBroken = engine::error_line({Errc::unavailable, "the connection broke"});

class RemoteFacts : public ::testing::Test {
 protected:
  // What a commit ends with, and a get, with voters that answer so, asked in this order.
  void ask(std::vector<std::string> lines) { sim_.run(ask_voters(std::move(lines))); }

  io::Task<void> ask_voters(std::vector<std::string> lines) {
    std::vector<std::unique_ptr<VoterForTest>> voters;
    for (std::string& line : lines) {
      voters.push_back(std::make_unique<VoterForTest>(sim_.world(), std::move(line)));
    }
    http::Client client(sim_.world());
    RemoteMetadata facts(sim_.world(), client, [&voters] {
      std::vector<engine::PeerLink> links;
      for (const auto& voter : voters) links.push_back(voter->link());
      return links;
    });
    metadata::Transaction transaction;
    transaction.operations = {metadata::Operation::put("/a", "1")};
    committed = co_await facts.commit(std::move(transaction), {});
    const auto got = co_await facts.get("/a", {});
    read = got ? Result<void>() : fail(got.error());
    listed = co_await facts.list("/", {});
    client.close_idle();
    for (const auto& voter : voters) co_await voter->stop();
  }

  sim::World sim_{7};
  Result<metadata::Commit> committed = metadata::Commit{};
  Result<void> read;
  Result<metadata::Snapshot> listed = metadata::Snapshot{};
};

TEST_F(RemoteFacts, AreNotChangedWhereEveryVoterSaysSo) {
  ask({kNoMajority, kNoMajority});
  EXPECT_EQ(committed.error().code, Errc::not_leader);
  EXPECT_EQ(read.error().code, Errc::not_leader);
}

TEST_F(RemoteFacts, MayBeChangedWhereOneVoterDidNotSay) {
  for (const auto& lines : {std::vector{kBroken, kNoMajority}, std::vector{kNoMajority, kBroken},
                            std::vector<std::string>{"", kNoMajority}}) {
    ask(lines);
    EXPECT_EQ(committed.error().code, Errc::unavailable);
    EXPECT_EQ(read.error().code, Errc::not_leader);
  }
}

TEST_F(RemoteFacts, ComeInOneLineOrInSeveral) {
  const std::string first = R"({"entries":[{"key":"/a","value":"1"}],"revision":7,"more":)";
  const std::string last = R"({"entries":[{"key":"/b","value":"2"}],"revision":7,"more":false})";
  ask({first + "false}\n"});
  ASSERT_TRUE(listed);
  EXPECT_EQ(listed->entries.size(), 1U);
  ask({first + "true}\n" + last + "\n"});
  ASSERT_TRUE(listed);
  ASSERT_EQ(listed->entries.size(), 2U);
  EXPECT_EQ(listed->entries[1].value, "2");
  EXPECT_EQ(listed->revision, 7);
  ask({first + "true}\n" + kNoMajority});  // It fails half-way.
  EXPECT_EQ(listed.error().code, Errc::not_leader);
  ask({first + "true}\n{\"revision\":7}\n"});
  EXPECT_EQ(listed.error().code, Errc::corrupt);
}

TEST_F(RemoteFacts, AreChangedIfAnotherVoterAnswers) {
  ask({kBroken, "{\"done\":true,\"revision\":7}\n"});
  ASSERT_TRUE(committed);
  EXPECT_TRUE(committed->done);
  EXPECT_EQ(committed->revision, 7);
}

// The first of two voters has lost its etcd.
class OneVoterOfTwo : public ::testing::Test {
 public:
  void run(std::string first, std::string second,
           io::Task<void> (OneVoterOfTwo::*body)(RemoteMetadata&)) {
    sim_.run(drive(std::move(first), std::move(second), body));
  }
  io::Task<void> drive(std::string first, std::string second,
                       io::Task<void> (OneVoterOfTwo::*body)(RemoteMetadata&)) {
    one_ = std::make_unique<VoterForTest>(sim_.world(), std::move(first), "one");
    two_ = std::make_unique<VoterForTest>(sim_.world(), std::move(second), "two");
    http::Client client(sim_.world());
    RemoteMetadata facts(sim_.world(), client, [this] {
      return std::vector<engine::PeerLink>{one_->link(), two_->link()};
    });
    co_await (this->*body)(facts);
    client.close_idle();
    co_await one_->stop();
    co_await two_->stop();
  }
  io::Task<void> asks_in_time(RemoteMetadata& facts) {
    const auto got = co_await facts.get("/a", sim_.clock().call_within(seconds(1)));
    EXPECT_TRUE(got.has_value());
    EXPECT_EQ(one_->asked(), 1);
  }
  io::Task<void> asks_it_last(RemoteMetadata& facts) {
    for (int i = 0; i < 5; i++) EXPECT_TRUE((co_await facts.get("/a", {})).has_value());
    EXPECT_EQ(one_->asked(), 1);
    // Not for ever.
    (void)co_await sim_.clock().sleep_for(seconds(60));
    EXPECT_TRUE((co_await facts.get("/a", {})).has_value());
    EXPECT_EQ(one_->asked(), 2);
  }
  io::Task<void> watches(RemoteMetadata& facts) {
    const auto watch = facts.watch("/", 1);
    const auto events = co_await watch->next(sim_.clock().call_within(seconds(5)));
    CO_ASSERT(events.has_value());
    EXPECT_EQ(events->size(), 1U);
    EXPECT_EQ(one_->asked(), 1);
  }

  io::Task<void> watches_in_vain(RemoteMetadata& facts) {
    const auto watch = facts.watch("/", 1);
    const auto events = co_await watch->next(sim_.clock().call_within(seconds(5)));
    EXPECT_FALSE(events.has_value());
    EXPECT_LT(one_->asked() + two_->asked(), 30);
  }

  sim::World sim_{7};
  std::unique_ptr<VoterForTest> one_, two_;
};

TEST_F(OneVoterOfTwo, LeavesTimeToAskTheOtherOne) {
  run(kHanging, "{\"found\":false}\n", &OneVoterOfTwo::asks_in_time);
}

TEST_F(OneVoterOfTwo, IsAskedLastForAWhile) {
  run(kNoMajority, "{\"found\":false}\n", &OneVoterOfTwo::asks_it_last);
}

TEST_F(OneVoterOfTwo, EndsNoWatch) {
  run(kNoMajority,
      R"({"events":[{"key":"/a","value":"1","modified":3}],"next":4})"
      "\n",
      &OneVoterOfTwo::watches);
}

TEST_F(OneVoterOfTwo, IsNotAskedForAWatchAgainAndAgain) {
  run(kNoMajority, kNoMajority, &OneVoterOfTwo::watches_in_vain);
}

}  // namespace
}  // namespace om::cluster
