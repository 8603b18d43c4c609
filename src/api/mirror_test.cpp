#include "api/mirror.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/ollama_for_test.h"

namespace om::api {
namespace {

using ::testing::HasSubstr;

TEST(MirrorPath, TakesHostNamespaceModelAndReferenceApart) {
  const auto plain = MirrorPath::parse("library/smollm2/manifests/135m").value();
  EXPECT_EQ(plain.kind, MirrorPath::Kind::manifest);
  EXPECT_EQ(plain.host, "");
  EXPECT_EQ(plain.name_space, "library");
  EXPECT_EQ(plain.model, "smollm2");
  EXPECT_EQ(plain.reference, "135m");
  EXPECT_EQ(MirrorPath::parse("smollm2/manifests/135m").value().name_space, "library");
  const std::string digest = Digest::of("x").str();
  const auto foreign = MirrorPath::parse("hf.co/user/model/blobs/" + digest).value();
  EXPECT_EQ(foreign.kind, MirrorPath::Kind::blob);
  EXPECT_EQ(foreign.host, "hf.co");
  EXPECT_EQ(foreign.name_space, "user");
}

TEST(MirrorPath, RefusesWhatIsNoModelsName) {
  for (const std::string_view path :
       {"", "library/m", "library/m/manifests/", "library/m/tags/list", "../etc/manifests/passwd",
        "library/../manifests/x", "a/b/c/d/manifests/x", "library/m/blobs/latest",
        "library/m/blobs/sha256:12", "/m/manifests/x", "li.brary/m/manifests/x"}) {
    EXPECT_FALSE(MirrorPath::parse(path)) << path;
  }
}

class Mirrored : public ::testing::Test {
 protected:
  std::string manifest_of(std::string_view name) {
    return node_.store->read_manifest(model::Name::parse(name).value()).value();
  }
  std::string blob_path(const Digest& digest, std::string_view repository = "library/m") {
    return fmt::format("/v2/{}/blobs/{}", repository, digest.str());
  }

  OllamaNode node_;
};

TEST_F(Mirrored, AnswersTheVersionCheck) {
  const auto response = node_.ask("GET", "/v2/", "");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(node_.ask("HEAD", "/v2/", "").status, 200);
}

TEST_F(Mirrored, GivesManifestsVerbatimByTagAndByDigest) {
  node_.put_model("m:latest");
  const std::string bytes = manifest_of("m:latest");
  const std::string digest = Digest::of(bytes).str();
  for (const std::string& reference : {std::string("latest"), std::string("LATEST"), digest}) {
    auto response = node_.ask("GET", "/v2/library/m/manifests/" + reference, "");
    EXPECT_EQ(response.status, 200) << reference;
    EXPECT_EQ(response.body, bytes);
    EXPECT_EQ(response.content_type, model::kManifestMediaType);
    EXPECT_EQ(response.headers().get("Docker-Content-Digest"), digest);
  }
}

TEST_F(Mirrored, SendsBlobsAndTheirParts) {
  const Digest digest = node_.put_model("m:latest");
  const auto path = blob_path(digest);
  auto whole = node_.ask("GET", path, "");
  EXPECT_EQ(whole.status, 200);
  EXPECT_EQ(Digest::of(whole.body), digest);
  EXPECT_EQ(whole.headers().get("Docker-Content-Digest"), digest.str());
  EXPECT_EQ(whole.headers().get("Accept-Ranges"), "bytes");
  EXPECT_TRUE(whole.headers().has("Location"));
  auto part = node_.ask("GET", path, "", {{"Range", "bytes=2-5"}});
  EXPECT_EQ(part.status, 206);
  EXPECT_EQ(part.body, whole.body.substr(2, 4));
}

TEST_F(Mirrored, GivesOnlyWhatAModelOfThatNameNames) {
  const Digest named = node_.put_model("m:latest");
  node_.put_model("other:latest");
  const Digest loose = node_.put_blob("nobody names this");
  const auto missing = node_.ask("GET", blob_path(loose), "");
  EXPECT_EQ(missing.status, 404);
  EXPECT_THAT(missing.body, HasSubstr("BLOB_UNKNOWN"));
  EXPECT_EQ(node_.ask("GET", blob_path(named, "library/none"), "").status, 404);
  EXPECT_EQ(node_.ask("GET", "/v2/library/m/manifests/none", "").status, 404);
}

TEST_F(Mirrored, ForgetsAModelThatWasRemoved) {
  const Digest digest = node_.put_model("m:latest");
  EXPECT_EQ(node_.ask("GET", blob_path(digest), "").status, 200);
  EXPECT_EQ(node_.ask("DELETE", "/api/delete", R"({"model":"m"})").status, 200);
  EXPECT_EQ(node_.ask("GET", blob_path(digest), "").status, 404);
}

TEST_F(Mirrored, FindsModelsOfOtherHostsWhereTheDefaultOneHasNone) {
  node_.put_model("hf.co/user/model:q4");
  EXPECT_EQ(node_.ask("GET", "/v2/user/model/manifests/q4", "").status, 200);
  EXPECT_EQ(node_.ask("GET", "/v2/hf.co/user/model/manifests/q4", "").status, 200);
  EXPECT_EQ(node_.ask("GET", "/v2/other.example/user/model/manifests/q4", "").status, 404);
}

}  // namespace
}  // namespace om::api
