// What an older or a newer version of the program wrote of the models.
#include "base/log.h"
#include "base/version.h"
#include "transfer/testing/replicated.h"

namespace om::transfer {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using testing::random_bytes;

class Upgrade : public testing::Replicated {
 protected:
  // The node's program is another version now, which says this of a model's files.
  void upgrade(size_t i, Result<std::string> says) {
    stop_keeper(i);
    start_keeper(i);
    says_ = std::move(says);
    catalogue(i).describe_with([this](model::Name name, std::string bytes) {
      return describe(std::move(name), std::move(bytes));
    });
  }
  std::string fact() const { return facts_.entries.at("/models/" + key()).value; }
  static std::string key() { return Catalogue::key_of(name("m")); }
  void write(std::string key, std::string value) {
    metadata::Transaction transaction;
    transaction.operations = {metadata::Operation::put(std::move(key), std::move(value))};
    ASSERT_TRUE(wait(node(0).metadata.commit(std::move(transaction), {}))->done);
  }
  static std::string card(const std::string& bytes, std::string_view by, std::string_view says) {
    return boost::json::serialize(boost::json::object{
        {"name", "m"}, {"manifest", bytes}, {"by", by}, {"capabilities", says}});
  }

  int described_ = 0;

 private:
  io::Task<Result<std::string>> describe(model::Name, std::string bytes) {
    described_++;
    if (!says_) co_return fail(says_.error());
    co_return card(bytes, kVersion, *says_);
  }

  Result<std::string> says_;
};

TEST_F(Upgrade, SaysAnewWhatAnOlderVersionSaidOfAModel) {
  make_cluster(2);
  const std::string bytes = put_model(0, "m", random_bytes(1000, 1));
  pass(seconds(20));
  write("/models/" + key(), card(bytes, "0.1.0", "old"));
  upgrade(0, std::string("new"));
  pass(seconds(30));
  EXPECT_EQ(fact(), card(bytes, kVersion, "new"));
  upgrade(1, std::string("newer"));
  pass(seconds(30));
  EXPECT_EQ(fact(), card(bytes, kVersion, "new")) << "it is of this version";
  EXPECT_EQ(described_, 1);
}

TEST_F(Upgrade, SaysWhatNoVersionCouldReadBefore) {
  make_cluster(1);
  const std::string bytes = put_model(0, "m", random_bytes(1000, 2));
  pass(seconds(20));
  upgrade(0, fail(Errc::corrupt, "GGUF: unknown type"));
  const std::string before = fact();
  pass(minutes(1));
  EXPECT_EQ(fact(), before);
  EXPECT_EQ(described_, 1) << "once is enough";
  upgrade(0, std::string("all"));
  pass(seconds(20));
  EXPECT_EQ(fact(), card(bytes, kVersion, "all"));
}

TEST_F(Upgrade, LeavesTheCardsOfANewerVersion) {
  make_cluster(1);
  const std::string bytes = put_model(0, "m", random_bytes(1000, 3));
  pass(seconds(20));
  write("/models/" + key(), card(bytes, "99.0.0", "more"));
  upgrade(0, std::string("less"));
  pass(seconds(20));
  EXPECT_EQ(fact(), card(bytes, "99.0.0", "more"));
}

TEST_F(Upgrade, FollowsWhatItKnowsOfANewerVersionsPolicy) {
  make_cluster(3);
  put_model(0, "m", random_bytes(1000, 4));
  write("/policies/" + key(), R"({"factor":3,"popular_extra_max":5000,"unheard_of":1})");
  pass(minutes(10));
  EXPECT_EQ(holders("m"), "abc");
  EXPECT_EQ(replicas(1).state()->policy_of(key()).popular_extra_max, kCopiesMax);
}

TEST_F(Upgrade, RemovesNoCopyWhosePolicyItCannotRead) {
  make_cluster(3);
  write("/policies/" + key(), R"({"factor":3})");
  put_model(0, "m", random_bytes(1000, 5));
  pass(seconds(30));
  ASSERT_EQ(holders("m"), "abc");
  for (const std::string& which : {key(), std::string("*")}) {
    write("/policies/" + which, R"({"factor":{"racks":2}})");
    pass(minutes(10));
    EXPECT_EQ(holders("m"), "abc") << which;
    ASSERT_TRUE(wait(catalogue(0).clear_policy(name("m"), {})));
  }
  ASSERT_TRUE(wait(catalogue(0).clear_policy(std::nullopt, {})));
  pass(minutes(10));
  EXPECT_EQ(holders("m").size(), 2U);
}

// All old nodes meet it with each look for as long as an upgrade takes.
TEST_F(Upgrade, SaysOnceWhatItCannotRead) {
  make_cluster(1);
  size_t said = 0;
  set_log_sink([&said](LogLevel, std::string_view line) {
    if (line.contains("entry of the catalogue left out")) said++;
  });
  write("/policies/" + key(), R"({"factor":{"racks":2}})");
  write("/removed/" + key(), "of a newer version");
  write("/models/" + key(), "of a newer version");
  pass(minutes(2));
  EXPECT_EQ(said, 3U);
  ASSERT_TRUE(wait(catalogue(0).clear_policy(name("m"), {})));
  pass(seconds(20));
  write("/policies/" + key(), R"({"factor":{"racks":2}})");
  pass(minutes(1));
  set_log_sink({});
  EXPECT_EQ(said, 4U);
}

}  // namespace
}  // namespace om::transfer
