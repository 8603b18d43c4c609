#include "transfer/auth.h"
#include "transfer/testing/registry.h"

namespace om::transfer {
namespace {

using ::testing::AnyOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::random_bytes;
using testing::TransferWorld;

class Push : public TransferWorld {
 protected:
  // A model in the store that the registry does not have; the bytes of its manifest.
  std::string put_model(const std::string& layer, const std::string& from = "") {
    model::Manifest manifest;
    manifest.config = {std::string(model::kConfigMediaType), put("{}"), 2, ""};
    manifest.layers = {
        {std::string(model::kLayerMediaPrefix) + "license", put(layer), layer.size(), from}};
    std::string bytes = manifest.to_json();
    const auto done = wait(store_->put_manifest(name("m"), bytes));
    EXPECT_TRUE(done) << done.error().what;
    return bytes;
  }
  Digest put(std::string data) { return wait(store_->put_blob(std::move(data))).value(); }
  void expect_pushed(const std::string& layer, const std::string& manifest) {
    EXPECT_TRUE(registry_.blobs[Digest::of(layer).str()] == layer);
    EXPECT_EQ(registry_.blobs[Digest::of("{}").str()], "{}");
    EXPECT_EQ(registry_.manifests["test/m:latest"], manifest);
  }
};

TEST_F(Push, SendsBlobsThenTheManifestAndSaysWhatItDoes) {
  start();
  const std::string layer = random_bytes(3 << 20, 1);
  const std::string manifest = put_model(layer);
  const auto done = push("m");
  ASSERT_TRUE(done) << done.error().what;
  expect_pushed(layer, manifest);
  const std::string of_layer = "pushing " + Digest::of(layer).hex().substr(0, 12);
  const std::string of_config = "pushing " + Digest::of("{}").hex().substr(0, 12);
  ASSERT_GT(statuses.size(), 5U);
  EXPECT_THAT(std::vector(statuses.begin(), statuses.begin() + 3),
              ElementsAre("retrieving manifest", of_layer, of_config));
  EXPECT_THAT(std::vector(statuses.begin() + 3, statuses.end() - 2),
              Each(AnyOf(of_layer, of_config)));
  EXPECT_THAT(std::vector(statuses.end() - 2, statuses.end()),
              ElementsAre("pushing manifest", "success"));
}

TEST_F(Push, SendsNothingThatIsThere) {
  start();
  put_model("layer");
  ASSERT_TRUE(push("m"));
  ASSERT_TRUE(push("m"));
  EXPECT_EQ(registry_.count("POST"), 2U);  // Layer and config, once each.
}

TEST_F(Push, ShowsItsKeyWhenTheRegistryAsks) {
  start();
  registry_.faults.auth = true;
  const std::string layer = random_bytes(1 << 20, 2);
  const std::string manifest = put_model(layer);
  const auto done = push("m");
  ASSERT_TRUE(done) << done.error().what;
  expect_pushed(layer, manifest);
}

TEST_F(Push, SendsABlobInOnePieceWhereTheRegistryRefusesParts) {
  start();
  registry_.faults.refuse_patch = true;
  const std::string layer = random_bytes(1 << 20, 3);
  const std::string manifest = put_model(layer);
  const auto done = push("m");
  ASSERT_TRUE(done) << done.error().what;
  expect_pushed(layer, manifest);
}

TEST_F(Push, SendsPartsWhereTheRegistryPoints) {
  start();
  registry_.faults.redirect_uploads = registry_.faults.auth = true;
  const std::string layer = random_bytes(1 << 20, 4);
  const std::string manifest = put_model(layer);
  const auto done = push("m");
  ASSERT_TRUE(done) << done.error().what;
  expect_pushed(layer, manifest);
  EXPECT_EQ(registry_.count("SIGNED PUT"), 2U);
  EXPECT_FALSE(registry_.signed_host_saw_login);
}

TEST_F(Push, SendsLargeBlobsInSmallPartsWhereTheRegistryTakesThem) {
  start();
  const std::string layer = random_bytes(100'000'001, 5);
  put_model(layer);
  const auto done = push("m");
  ASSERT_TRUE(done) << done.error().what;
  EXPECT_TRUE(registry_.blobs[Digest::of(layer).str()] == layer);
  EXPECT_EQ(registry_.count("PATCH"), 7U);  // Six parts of the layer, one of the config.
}

TEST_F(Push, SendsPartsAsLargeAsOllamaDoesToAnObjectStore) {
  start();
  registry_.faults.redirect_uploads = true;
  const std::string layer = random_bytes(100'000'001, 6);
  put_model(layer);
  const auto done = push("m");
  ASSERT_TRUE(done) << done.error().what;
  EXPECT_TRUE(registry_.blobs[Digest::of(layer).str()] == layer);
  EXPECT_EQ(registry_.count("SIGNED PUT"), 3U);  // Two parts of the layer, one of the config.
}

TEST_F(Push, SaysWhichModelIsNotThere) {
  start();
  EXPECT_EQ(push("none").error().code, Errc::not_found);
}

TEST(TokenUrl, CarriesServiceScopesTimeAndNonce) {
  const auto challenge = Challenge::parse(
      "Bearer realm=\"https://r.example/v2/token\", service=\"r.example\","
      "scope=\"repository:a/b:pull repository:c:push\"");
  ASSERT_TRUE(challenge) << challenge.error().what;
  const auto registry = http::Url::parse("https://r.example/v2/").value();
  const io::WallTime now{std::chrono::seconds(1'700'000'000)};
  EXPECT_EQ(token_url(*challenge, registry, now, "n0nce").value().str(),
            "https://r.example/v2/token?service=r.example&scope=repository%3Aa%2Fb%3Apull&"
            "scope=repository%3Ac%3Apush&ts=1700000000&nonce=n0nce");
}

TEST(TokenUrl, LeavesNeitherTheHostNorItsEncryption) {
  const auto registry = http::Url::parse("https://r.example/v2/").value();
  for (const char* realm : {"https://other.example/t", "http://r.example/t"}) {
    Challenge challenge;
    challenge.realm = realm;
    EXPECT_EQ(token_url(challenge, registry, {}, "n").error().code, Errc::forbidden) << realm;
  }
  // Hugging Face's two names are one registry, encrypted and this way round only.
  const auto hf = [](const char* registry_text, const char* realm) {
    Challenge challenge;
    challenge.realm = realm;
    return token_url(challenge, http::Url::parse(registry_text).value(), {}, "n").has_value();
  };
  EXPECT_TRUE(hf("https://hf.co/v2/", "https://huggingface.co/v2/token"));
  EXPECT_FALSE(hf("https://hf.co/v2/", "http://huggingface.co/v2/token"));
  EXPECT_FALSE(hf("http://hf.co/v2/", "https://huggingface.co/v2/token"));
  EXPECT_FALSE(hf("https://r.example/v2/", "https://huggingface.co/v2/token"));
  EXPECT_THAT(Challenge::parse("").error().what, ::testing::HasSubstr("offers no login"));
  EXPECT_FALSE(Challenge::parse("Basic realm=\"x\""));
  EXPECT_FALSE(Challenge::parse("Bearer service=\"x\""));
}

TEST(TokenReply, IsReadUnderBothNames) {
  EXPECT_EQ(parse_token("{\"token\":\"a\"}").value(), "a");
  EXPECT_EQ(parse_token("{\"access_token\":\"b\"}").value(), "b");
  EXPECT_FALSE(parse_token("{\"token\":7}"));
  EXPECT_FALSE(parse_token("<html>"));
}

}  // namespace
}  // namespace om::transfer
