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

// "For ever" is what a negative duration means to Ollama; what it would mean here is "at once".
TEST(Settings, RefuseDurationsThatCannotBeEndless) {
  EXPECT_THAT(refusal("[server]\ndrain_time = -1\n"), HasSubstr("not negative"));
  EXPECT_EQ(refusal("[runner]\nkeep_alive = -1\nload_timeout = -1\n"), "");
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

// What `--set KEY=VALUE` makes of a value, as `config show` says it; or why it was refused.
std::string set_to(const std::string& key, const std::string& value) {
  Config config;
  const auto set = config.set(key, value, Source::flag, "--set");
  if (!set) return set.error().what;
  for (const SettingView& line : config.view()) {
    if (line.key == key) return line.value;
  }
  return "no such key";
}

TEST(Settings, AreSetToWhatIsSaidThoughAVariableSaysTheOpposite) {
  EXPECT_EQ(set_to("models.prune", "false"), "false");
  EXPECT_EQ(set_to("models.prune", "true"), "true");
  EXPECT_EQ(set_to("runner.prefer_jinja", "true"), "true");
  EXPECT_EQ(set_to("log.level", "warn"), "\"warn\"");
  EXPECT_EQ(set_to("runner.flash_attention", "off"), "\"off\"");
  EXPECT_EQ(set_to("runner.keep_alive", "300"), set_to("runner.keep_alive", "5m"));
  EXPECT_EQ(set_to("cluster.one_port", "off"), "false");
  EXPECT_EQ(set_to("runner.kv_cache_type", "Q8_0"), "\"q8_0\"");
  EXPECT_EQ(set_to("runner.resume", "No"), "false");
  EXPECT_THAT(set_to("runner.resume", "perhaps"), HasSubstr("expected true or false"));
}

TEST(Settings, OfVariablesAreNotGuessed) {
  const auto with = [](const char* name, const char* value) {
    Config config;
    const auto applied = config.apply_environment(
        [&](const char* asked) { return std::string_view(asked) == name ? value : nullptr; });
    return applied ? std::string(config.settings().announce_mdns ? "on" : "off")
                   : applied.error().what;
  };
  EXPECT_EQ(with("OLLAMAMAX_CLUSTER_ANNOUNCE_MDNS", "False"), "off");
  EXPECT_EQ(with("OLLAMAMAX_CLUSTER_ANNOUNCE_MDNS", "1"), "on");
  EXPECT_THAT(with("OLLAMAMAX_CLUSTER_ANNOUNCE_MDNS", "maybe"), HasSubstr("true or false"));
  EXPECT_THAT(with("OLLAMAMAX_CLUSTER_LISTEN", "1.2.3.4:x"), HasSubstr("invalid port"));
  EXPECT_THAT(with("OLLAMAMAX_CLUSTER_VOTERS", "4"), HasSubstr("expected 3 or 5"));
}

// The environment's are there for curl and apt too.
TEST(Settings, RefuseAProxyThatCannotBeUsedUnlessItIsTheEnvironments) {
  EXPECT_EQ(refusal("[network]\nhttps_proxy = 'http://p:3128'\n"), "");
  EXPECT_EQ(refusal("[network]\nhttp_proxy = 'socks5://p'\n"),
            "f:2: network.http_proxy: \"socks5://p\": only proxies at http:// are spoken to");
  Config config;
  const auto environment = [](const char* name) {
    return std::string_view(name) == "https_proxy" ? "socks5h://p" : nullptr;
  };
  ASSERT_TRUE(config.apply_environment(environment));
  EXPECT_TRUE(config.check());
  EXPECT_EQ(config.settings().https_proxy, "socks5h://p");
  ASSERT_TRUE(config.set("network.https_proxy", "ftp://p", Source::flag, "--set"));
  EXPECT_FALSE(config.check());
}

// A service has variables that nobody sees who writes its file.
TEST(Settings, TellWhatAVariableOverrulesInTheFile) {
  const auto environment = [](const char* name) -> const char* {
    const std::string_view asked = name;
    if (asked == "OLLAMA_MODELS") return "/var/models";
    if (asked == "OLLAMA_HOST") return "127.0.0.1:11500";
    if (asked == "OLLAMAMAX_STATE") return "/var/state";
    if (asked == "OLLAMA_KEEP_ALIVE") return "10m";
    return nullptr;
  };
  Config config;
  ASSERT_TRUE(
      config.apply_file("[models]\ndirectory = '/data/models'\n"
                        "[server]\nlisten = ['127.0.0.1:11500']\n"
                        "[node]\nstate_directory = '/data/state'\n"
                        "[runner]\nkeep_alive = '5m'\n",
                        "f"));
  EXPECT_TRUE(config.settings().overruled.empty());
  ASSERT_TRUE(config.apply_environment(environment));
  // The address is the same in both, and five minutes are the default.
  const auto& overruled = config.settings().overruled;
  ASSERT_EQ(overruled.size(), 2);
  const bool models_first = overruled[0].key == "models.directory";
  const Overruled& models = overruled[models_first ? 0 : 1];
  EXPECT_EQ(models.key, "models.directory");
  EXPECT_EQ(models.file, "f:2");
  EXPECT_EQ(models.variable, "OLLAMA_MODELS");
  // Who says it in the command knows.
  ASSERT_TRUE(config.set("models.directory", "/mine", Source::flag, "--models"));
  ASSERT_EQ(overruled.size(), 1);
  EXPECT_EQ(overruled[0].key, "node.state_directory");
}

TEST(Settings, NameThePortBetweenNodesWhereNoneIsSaid) {
  const auto listen = [](const char* text) {
    const auto host = parse_peer_listen(text);
    return host ? fmt::format("{} {}", host->host, host->port) : host.error().what;
  };
  EXPECT_EQ(listen("192.168.1.5"), "192.168.1.5 11435");
  EXPECT_EQ(listen("192.168.1.5:11434"), "192.168.1.5 11434");
  EXPECT_EQ(listen(":12000"), "0.0.0.0 12000");
  EXPECT_EQ(listen("[::]:12000"), ":: 12000");
  EXPECT_EQ(listen("::"), ":: 11435");
}

// What `config generate` prints is a file that says what is true without it.
TEST(Settings, OfTheExampleAreTheDefaults) {
  Config config;
  const std::string example = Config().example();
  ASSERT_TRUE(config.apply_file(example, "example"));
  // One user's folders are not put on all users of the machine.
  EXPECT_EQ(example.find(std::getenv("HOME") + std::string("/.ollama\"\n"), 0),
            example.find("# state_directory") + std::string_view("# state_directory = \"").size());
  const auto ours = config.view(), defaults = Config().view();
  ASSERT_EQ(ours.size(), defaults.size());
  for (size_t i = 0; i < ours.size(); i++) {
    EXPECT_EQ(ours[i].value, defaults[i].value) << ours[i].key;
  }
}

}  // namespace
}  // namespace om::app
