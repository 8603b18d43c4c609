#include "model/manifest.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace om::model {
namespace {

const std::string kA = "sha256:" + std::string(64, 'a');
const std::string kB = "sha256:" + std::string(64, 'b');

std::string example() {
  return R"({"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json",)"
         R"("config":{"mediaType":"application/vnd.docker.container.image.v1+json","digest":")" +
         kA +
         R"(","size":17},"layers":[{"mediaType":"application/vnd.ollama.image.model","digest":")" +
         kB + R"(","size":4096,"from":"/models/x"},)" +
         R"({"mediaType":"application/vnd.ollama.image.prompt","digest":")" + kA +
         R"(","size":3}]})" + "\n";
}

TEST(Manifest, WritesTheBytesItRead) {
  auto manifest = Manifest::parse(example());
  ASSERT_TRUE(manifest) << manifest.error().what;
  EXPECT_EQ(manifest->to_json(), example());
  EXPECT_EQ(manifest->total_size(), 17u + 4096 + 3);
  EXPECT_EQ(manifest->find("model")->from, "/models/x");
  EXPECT_EQ(manifest->find("template")->size, 3u) << "the old word is understood";
  EXPECT_EQ(manifest->find("system"), nullptr);
  EXPECT_EQ(manifest->config.kind(), kConfigMediaType);
}

TEST(Manifest, TakesALayerOnceThatIsNamedAgain) {
  const auto layer = [](std::string_view kind, const std::string& digest, int size) {
    return fmt::format(
        R"({{"mediaType":"application/vnd.ollama.image.{}","digest":"{}","size":{}}})", kind,
        digest, size);
  };
  std::vector<std::string> layers(30'000, layer("license", kA, 3));
  layers.push_back(layer("system", kA, 3));  // Something else that says the same.
  layers.push_back(layer("license", kB, 3));
  layers.push_back(layer("license", kA, 4));  // Which of them is right, the pull finds out.
  const auto manifest = Manifest::parse(fmt::format(
      R"({{"config":{{"digest":"{}","size":1}},"layers":[{}]}})", kA, fmt::join(layers, ",")));
  ASSERT_TRUE(manifest) << manifest.error().what;
  EXPECT_EQ(manifest->layers.size(), 4U);
  EXPECT_EQ(manifest->total_size(), 1U + 3 + 3 + 3 + 4);
}

TEST(Manifest, HasEachOfItsFilesOnceTheConfigLast) {
  const auto digest = [](char letter) { return Digest::of(std::string(1, letter)); };
  const auto layer = [digest](std::string kind, char letter, uint64_t size) {
    return Layer{std::move(kind), digest(letter), size, ""};
  };
  Manifest manifest;
  manifest.layers = {layer("model", 'm', 9), layer("license", 'l', 3), layer("system", 'l', 3),
                     layer("adapter", 'm', 8)};
  manifest.config = layer("config", 'c', 2);
  EXPECT_EQ(manifest.digests(), (std::vector{digest('m'), digest('l'), digest('m'), digest('c')}))
      << "of two sizes one is wrong: whoever looks for both finds out";
  EXPECT_EQ(manifest.blobs().at(1).media_type, "license");
  EXPECT_EQ(manifest.blobs().at(2).size, 8U);
  manifest.config = layer("config", 'l', 3);
  EXPECT_EQ(manifest.blobs().size(), 3U);
}

TEST(Manifest, RefusesWhatCannotBe) {
  const std::string start = R"({"config":{"digest":")" + kA + R"(","size":)";
  for (const std::string& text :
       {std::string(), std::string("[]"), std::string("{}"), std::string(R"({"config":{}})"),
        std::string(R"({"config":{"digest":"sha256:zz","size":1}})"), start + "-1}}",
        start + "1e40}}", start + "9223372036854775807}}", start + "\"1\"}}",
        start + R"(1},"layers":{}})", start + R"(1},"layers":[3]})", start + R"(1})"}) {
    auto manifest = Manifest::parse(text);
    ASSERT_FALSE(manifest) << text;
    EXPECT_EQ(manifest.error().code, Errc::corrupt) << text;
  }
}

RC_GTEST_PROP(ManifestProperty, AnyBytesGiveAManifestOrAnError, (const std::string& text)) {
  if (auto manifest = Manifest::parse(text)) RC_ASSERT(!manifest->to_json().empty());
}

TEST(Config, WritesOllamasFieldsInOllamasOrder) {
  Config config;
  config.model_format = "gguf";
  config.model_family = "llama";
  config.model_families = {"llama"};
  config.model_type = "134.52M";
  config.file_type = "Q4_1";
  config.renderer = "r<1>";
  config.context_length = 2048;
  EXPECT_EQ(config.to_json(),
            R"({"model_format":"gguf","model_family":"llama","model_families":["llama"],)"
            R"("model_type":"134.52M","file_type":"Q4_1","renderer":"r\u003c1\u003e",)"
            R"("context_length":2048,"architecture":"amd64","os":"linux"})"
            "\n");
}

TEST(Manifest, TellsRunnersApartByAllThatTheyTake) {
  const auto layer = [](std::string_view kind, std::string_view content) {
    return Layer{.media_type = "application/vnd.ollama.image." + std::string(kind),
                 .digest = Digest::of(content)};
  };
  Manifest plain;
  EXPECT_EQ(plain.runner_key(), Digest{});
  plain.layers = {layer("model", "w"), layer("template", "t")};
  EXPECT_EQ(plain.runner_key(), Digest::of("w"));
  Manifest sees = plain;
  sees.layers.push_back(layer("projector", "p"));
  EXPECT_NE(sees.runner_key(), plain.runner_key());
  Manifest both = sees, other_way = plain;
  both.layers.push_back(layer("adapter", "a"));
  EXPECT_NE(both.runner_key(), sees.runner_key());
  other_way.layers.push_back(layer("adapter", "a"));
  other_way.layers.push_back(layer("projector", "p"));
  EXPECT_EQ(both.runner_key(), other_way.runner_key());
  // As another one's node names the same blobs.
  EXPECT_EQ(both.runner_key(), runner_key(Digest::of("w"), {"projector " + Digest::of("p").hex(),
                                                            "adapter " + Digest::of("a").hex()}));
}

TEST(Config, KeepsFieldsItDoesNotKnow) {
  const std::string text =
      R"({"model_format":"gguf","model_family":"llama","model_families":null,"model_type":"1B",)"
      R"("file_type":"F16","architecture":"arm64","os":"linux","rootfs":{"type":"layers",)"
      R"("diff_ids":["x"]}})"
      "\n";
  auto config = Config::parse(text);
  ASSERT_TRUE(config);
  EXPECT_EQ(config->model_type, "1B");
  EXPECT_TRUE(config->other.contains("rootfs"));
  EXPECT_EQ(config->to_json(), text);
}

TEST(Config, RefusesWhatIsNoObject) {
  EXPECT_FALSE(Config::parse("[1]"));
  EXPECT_FALSE(Config::parse("{"));
}

}  // namespace
}  // namespace om::model
