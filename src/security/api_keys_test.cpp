#include "security/api_keys.h"

#include <gmock/gmock.h>

#include "base/log.h"
#include "sim/world.h"

namespace om::security {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kFile = "/keys";
constexpr const char* kOne = "the-first-key-0001";
constexpr const char* kTwo = "the-second-key-002";

class ApiKeysFile : public ::testing::Test {
 protected:
  void put(std::string_view text) { ASSERT_TRUE(world_.files().write_file(kFile, text)); }
  Result<std::unique_ptr<ApiKeys>> read() { return ApiKeys::open(world_.world(), kFile); }
  void pass(io::Duration time) { world_.run(sleep(time)); }

  sim::World world_{1};

 private:
  io::Task<void> sleep(io::Duration time) {
    EXPECT_TRUE((co_await world_.clock().sleep_for(time)).has_value());
  }
};

TEST_F(ApiKeysFile, HoldsKeysAndDigestsOfKeys) {
  put(std::string("# Two users.\n\n  ") + kOne + " \r\n" + Digest::of(kTwo).str() + "\n");
  const auto keys = read();
  ASSERT_TRUE(keys) << keys.error().what;
  EXPECT_TRUE((*keys)->contain(kOne));
  EXPECT_TRUE((*keys)->contain(kTwo));
  for (const std::string& other :
       {std::string(), std::string("# Two users."), kOne + std::string("x"), Digest::of(kTwo).str(),
        Digest::of(kOne).str()}) {
    EXPECT_FALSE((*keys)->contain(other)) << other;
  }
}

TEST_F(ApiKeysFile, IsRefusedWithTheLineThatIsNoKeyAndWithoutShowingIt) {
  EXPECT_EQ(read().error().code, Errc::not_found);
  for (const auto& [text, what] :
       {std::pair("", "there is no key in it"), std::pair("# nothing\n", "there is no key in it"),
        std::pair("long-enough-for-a-key\nshort-secret\n", "line 2"),
        std::pair("secret with blanks between\n", "line 1"),
        std::pair("sha256:secret\n", "line 1: expected 64")}) {
    put(text);
    const auto refused = read();
    ASSERT_FALSE(refused) << text;
    EXPECT_EQ(refused.error().code, Errc::invalid_argument);
    EXPECT_THAT(refused.error().what, AllOf(HasSubstr(kFile), HasSubstr(what)));
    EXPECT_THAT(refused.error().what, Not(HasSubstr("secret")));
  }
}

TEST_F(ApiKeysFile, IsFollowedWhenItChanges) {
  put(kOne);
  const auto keys = read().value();
  pass(std::chrono::seconds(2));
  put(kTwo);
  pass(std::chrono::seconds(1));
  EXPECT_FALSE(keys->contain(kOne));
  EXPECT_TRUE(keys->contain(kTwo));
}

TEST_F(ApiKeysFile, HoldsOnToItsKeysWhileItCannotBeUsedAndSaysSoOnce) {
  std::vector<std::string> lines;
  set_log_sink([&](LogLevel, std::string_view line) { lines.emplace_back(line); });
  put(kOne);
  const auto keys = read().value();
  const auto ask_for_a_while = [&] {
    for (int i = 0; i < 3; i++) {
      pass(std::chrono::seconds(2));
      EXPECT_TRUE(keys->contain(kOne));
    }
  };
  put("short");
  ask_for_a_while();
  EXPECT_THAT(lines, ElementsAre(HasSubstr("line 1")));
  ASSERT_TRUE(world_.files().remove(kFile));
  ask_for_a_while();
  EXPECT_EQ(lines.size(), 2U);
  put(kTwo);
  pass(std::chrono::seconds(2));
  EXPECT_FALSE(keys->contain(kOne));
  EXPECT_EQ(lines.size(), 3U);
  set_log_sink({});
}

}  // namespace
}  // namespace om::security
