#include "model/name.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <random>

namespace om::model {
namespace {

std::string full(std::string_view text) {
  auto name = Name::parse(text);
  return name ? name->scheme + "://" + name->str() : "error: " + name.error().what;
}

TEST(Name, FillsInWhatIsMissing) {
  EXPECT_EQ(full("gemma3"), "https://registry.ollama.ai/library/gemma3:latest");
  EXPECT_EQ(full("gemma3:270m"), "https://registry.ollama.ai/library/gemma3:270m");
  EXPECT_EQ(full("me/x:1.5b-q4_0"), "https://registry.ollama.ai/me/x:1.5b-q4_0");
  EXPECT_EQ(full("hf.co/org/repo:Q4_K_M"), "https://hf.co/org/repo:Q4_K_M");
  EXPECT_EQ(full("localhost:5000/ns/m"), "https://localhost:5000/ns/m:latest");
  EXPECT_EQ(full("http://127.0.0.1:5000/ns/m:t"), "http://127.0.0.1:5000/ns/m:t");
}

TEST(Name, RefusesWhatOllamaRefuses) {
  const std::string long_part(81, 'a');
  for (std::string_view text :
       {"",        ":",           "/",        "a:",   ":a",   "a/",     "/a",        "a//b",
        ".a",      "-a",          "a b",      "..",   "../x", "a/../b", "a.b/c",     "a:b:c",
        "x/y/z/w", "ftp://h/n/m", "http://m", "a\\b", "a:..", "é",      "a@sha256:1"}) {
    auto name = Name::parse(text);
    ASSERT_FALSE(name) << text;
    EXPECT_EQ(name.error().code, Errc::invalid_argument);
    EXPECT_EQ(name.error().what, "invalid model name");
  }
  EXPECT_FALSE(Name::parse(long_part));
  EXPECT_TRUE(Name::parse(std::string(80, 'a')));
  EXPECT_TRUE(Name::parse(std::string(350, 'h') + "/n/m"));
  EXPECT_FALSE(Name::parse(std::string(351, 'h') + "/n/m"));
  EXPECT_FALSE(Name::parse(std::string_view("a\0b", 3)));
}

TEST(Name, ShortestDropsDefaultsAndKeepsTheTag) {
  EXPECT_EQ(Name::parse("gemma3")->shortest(), "gemma3:latest");
  EXPECT_EQ(Name::parse("Registry.Ollama.AI/Library/x:1")->shortest(), "x:1");
  EXPECT_EQ(Name::parse("me/x")->shortest(), "me/x:latest");
  EXPECT_EQ(Name::parse("hf.co/library/x")->shortest(), "hf.co/library/x:latest");
}

TEST(Name, ComparesWithoutCaseWhenAsked) {
  EXPECT_TRUE(Name::parse("Gemma3:Latest")->equal_ignoring_case(*Name::parse("gemma3")));
  EXPECT_FALSE(*Name::parse("Gemma3") == *Name::parse("gemma3"));
  EXPECT_TRUE(*Name::parse("http://h/n/m") == *Name::parse("https://h/n/m"));
}

TEST(Name, KnowsWhereAModelShouldRun) {
  EXPECT_EQ(split_place("gemma3:4b:local")->name, "gemma3:4b");
  EXPECT_EQ(split_place("gemma3:local")->place, Place::local);
  EXPECT_EQ(split_place("gpt-oss:cloud")->place, Place::cloud);
  EXPECT_EQ(split_place("gpt-oss:120b-cloud")->place, Place::cloud);
  EXPECT_EQ(split_place("gpt-oss:120b-cloud")->name, "gpt-oss:120b-cloud");
  EXPECT_EQ(split_place("my-cloud")->place, Place::any);
  auto both = split_place("x:cloud:local");
  ASSERT_FALSE(both);
  EXPECT_EQ(both.error().what, "use either :local or :cloud, not both: \"x:cloud:local\"");
}

// Whatever is accepted can be a path below manifests/ and nothing else.
void expect_safe(const Name& name) {
  std::string path = name.path();
  int slashes = 0;
  for (char c : path) slashes += c == '/';
  ASSERT_EQ(slashes, 3) << path;
  for (const std::string& part : {name.host, name.name_space, name.model, name.tag}) {
    ASSERT_FALSE(part.empty());
    ASSERT_NE(part.front(), '.');
    ASSERT_EQ(part.find_first_of(std::string("/\\\0 ", 4)), std::string::npos);
    for (char c : part) ASSERT_GT(c, ' ');
  }
}

TEST(Name, NeverLeavesTheStoreWhateverTheInput) {
  std::mt19937_64 random(20260821);
  // The characters that matter, often enough to make many valid names and near misses.
  const std::string_view alphabet("aZ0_.-:/\\%~ \0\n\xC3\xA9", 16);
  const std::string_view pieces[] = {"..", "../", "a/", "://", "http://", "x", ":t", "/", "h.co/"};
  int accepted = 0;
  for (int i = 0; i < 100'000; i++) {
    std::string text;
    for (uint64_t n = random() % 12; n > 0; n--) {
      if (random() % 4 == 0) {
        text += pieces[random() % std::size(pieces)];
      } else {
        text += alphabet[random() % (random() % 2 ? 4 : alphabet.size())];
      }
    }
    auto name = Name::parse(text);
    if (!name) continue;
    accepted++;
    expect_safe(*name);
    ASSERT_TRUE(*Name::parse(name->str()) == *name) << text;
    ASSERT_TRUE(Name::parse(name->shortest())->equal_ignoring_case(*name)) << text;
  }
  EXPECT_GT(accepted, 10'000);
}

RC_GTEST_PROP(NameProperty, AnyBytesGiveASafePathOrAnError, (const std::string& text)) {
  if (auto name = Name::parse(text)) expect_safe(*name);
}

}  // namespace
}  // namespace om::model
