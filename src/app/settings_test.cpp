#include "app/settings.h"

#include <gmock/gmock.h>

namespace om::app {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// What is said of a file; empty: it is taken, and its settings go together.
std::string refusal(std::string_view file) {
  Config config;
  const auto applied = config.apply_file(file, "f");
  if (!applied) return applied.error().what;
  const auto checked = config.check();
  return checked ? std::string() : checked.error().what;
}

TEST(Settings, RefuseWhatContradictsItself) {
  EXPECT_EQ(refusal("[runner]\nkv_cache_type = 'q8_0'\n"), "");
  EXPECT_EQ(refusal("[runner]\nflash_attention = 'off'\n"), "");
  EXPECT_THAT(refusal("[runner]\nkv_cache_type = 'q8_0'\nflash_attention = 'off'\n"),
              HasSubstr("OLLAMA_FLASH_ATTENTION"));
  EXPECT_THAT(refusal("[runner]\nkv_cache_type = 'q4_0'\ndeterministic = true\n"),
              HasSubstr("runner.deterministic must be off"));
}

TEST(Settings, TakeAnEtcdOfTheUsers) {
  Config config;
  ASSERT_TRUE(
      config.apply_file("[cluster]\netcd_endpoints = ['https://a:2379', 'https://b:2379']\n"
                        "etcd_prefix = '/x/'\n",
                        "f"));
  EXPECT_THAT(config.settings().etcd_endpoints, ElementsAre("https://a:2379", "https://b:2379"));
  EXPECT_EQ(config.settings().etcd_prefix, "/x/");
  EXPECT_EQ(Config().settings().etcd_prefix, "/ollamamax/");
  EXPECT_THAT(refusal("[cluster]\netcd_endpoints = ['http://a:1', 'https://b:1']\n"),
              HasSubstr("f:2: cluster.etcd_endpoints: expected http:// for all"));
  EXPECT_NE(refusal("[cluster]\netcd_endpoints = ['a b']\n"), "");
  for (const char* prefix : {"'x/'", "'/x'", "''", "7"}) {
    EXPECT_THAT(refusal(std::string("[cluster]\netcd_prefix = ") + prefix + "\n"),
                HasSubstr("cluster.etcd_prefix: expected"))
        << prefix;
  }
}

// What `config generate` prints is a file that says what is true without it.
TEST(Settings, OfTheExampleAreTheDefaults) {
  Config config;
  ASSERT_TRUE(config.apply_file(Config().example(), "example"));
  const auto ours = config.view(), defaults = Config().view();
  ASSERT_EQ(ours.size(), defaults.size());
  for (size_t i = 0; i < ours.size(); i++) {
    EXPECT_EQ(ours[i].value, defaults[i].value) << ours[i].key;
  }
}

}  // namespace
}  // namespace om::app
