#include "api/standing.h"

#include <gtest/gtest.h>

#include "api/api.h"

namespace om::api {
namespace {

http::Headers headers(std::initializer_list<std::pair<std::string, std::string>> lines) {
  http::Headers result;
  for (const auto& [name, value] : lines) result.add(name, value);
  return result;
}

TEST(Standing, TellsKeysApartWithoutGivingThemAway) {
  const Settings settings;
  const auto bearer = read_standing(headers({{"Authorization", "Bearer secret"}}), settings);
  const auto other = read_standing(headers({{"authorization", "bearer other"}}), settings);
  const auto header = read_standing(headers({{"x-api-key", "secret"}}), settings);
  ASSERT_TRUE(bearer && other && header);
  EXPECT_EQ(bearer->key, "2bb80d537b1da3e3");  // printf %s secret | sha256sum | cut -c1-16
  EXPECT_EQ(bearer->key, header->key);
  EXPECT_NE(bearer->key, other->key);
  EXPECT_EQ(read_standing({}, settings)->key, "");
}

TEST(Standing, TakesTheWeightOfAKeyFromTheSettings) {
  Settings settings;
  settings.key_weights = {{key_name("vip"), 5}};
  EXPECT_EQ(read_standing(headers({{"X-Api-Key", "vip"}}), settings)->weight, 5);
  EXPECT_EQ(read_standing(headers({{"X-Api-Key", "guest"}}), settings)->weight, 1);
}

TEST(Standing, ReadsPriorityAndPatience) {
  const Settings settings;
  const auto batch =
      read_standing(headers({{"X-Priority", "batch"}, {"X-Queue-Timeout", "1m30s"}}), settings);
  ASSERT_TRUE(batch);
  EXPECT_TRUE(batch->batch);
  EXPECT_EQ(batch->patience, std::chrono::seconds(90));
  const auto plain =
      read_standing(headers({{"X-Priority", "Interactive"}, {"X-Queue-Timeout", "3"}}), settings);
  ASSERT_TRUE(plain);
  EXPECT_FALSE(plain->batch);
  EXPECT_EQ(plain->patience, std::chrono::seconds(3));
  EXPECT_FALSE(read_standing({}, settings)->patience);
}

TEST(Standing, RefusesWhatItDoesNotKnow) {
  const Settings settings;
  EXPECT_FALSE(read_standing(headers({{"X-Priority", "urgent"}}), settings));
  EXPECT_FALSE(read_standing(headers({{"X-Queue-Timeout", "soon"}}), settings));
  EXPECT_FALSE(read_standing(headers({{"X-Queue-Timeout", "-1s"}}), settings));
}

}  // namespace
}  // namespace om::api
