// What a node is told by voters that fail, each in its own way.
#include "cluster/remote_metadata.h"

#include <gtest/gtest.h>

#include "engine/remote/wire.h"
#include "http/server.h"
#include "io/co_assert_for_test.h"
#include "sim/world.h"

namespace om::cluster {
namespace {

// Answers every question with the same line; with none, the connection breaks.
class VoterForTest {
 public:
  VoterForTest(io::World& world, std::string line)
      : line_(std::move(line)),
        server_(world, {},
                [this](http::Request&, http::BodyReader& body, http::ResponseWriter& response) {
                  return answer(body, response);
                }) {
    const auto at = server_.listen(io::Endpoint::tcp("127.0.0.1", 0));
    CHECK(at.has_value());
    at_ = *at;
  }
  engine::PeerLink link() const { return {"voter", at_, nullptr}; }
  io::Task<void> stop() { return server_.stop({}); }

 private:
  io::Task<void> answer(http::BodyReader& body, http::ResponseWriter& response) {
    (void)co_await body.read_all(1 << 20);
    if (line_.empty()) co_return;
    const auto sent = co_await response.send(200, "application/x-ndjson", line_);
    EXPECT_TRUE(sent);
  }

  const std::string line_;
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

}  // namespace
}  // namespace om::cluster
