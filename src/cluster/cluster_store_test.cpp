// Two nodes of one cluster with their own disks and one catalogue.
#include "cluster/cluster_store.h"

#include "cluster/metadata_for_test.h"
#include "model/gguf_builder.h"

namespace om::cluster {
namespace {

using std::chrono::seconds;
using testing::Bench;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string tiny_gguf() {
  model::GgufBuilder gguf;
  gguf.text("general.architecture", "llama").text("general.name", "tiny");
  gguf.u32("llama.block_count", 1).u32("llama.context_length", 8192);
  gguf.u32("llama.embedding_length", 64).u32("llama.feed_forward_length", 128);
  gguf.u32("llama.attention.head_count", 4).u32("llama.attention.head_count_kv", 4);
  gguf.texts("tokenizer.ggml.tokens", {"a", "b", "c"});
  gguf.tensor("token_embd.weight", {64, 3}, 0);
  return gguf.bytes();
}

model::Name name(std::string_view text) { return *model::Name::parse(text); }

class ClusterNode {
 public:
  ClusterNode(Bench& bench, std::string folder) : bench_(bench), folder_(std::move(folder)) {}

  std::unique_ptr<store::Store> local;
  std::unique_ptr<Catalogue> catalogue;
  std::unique_ptr<ClusterStore> store;

  io::Task<void> start() {
    auto opened = co_await store::Store::open(bench_.world(), folder_, false);
    CO_ASSERT(opened.has_value());
    local = std::move(*opened);
    catalogue = std::make_unique<Catalogue>(bench_.world(), *bench_.metadata, *local,
                                            "/tmp" + folder_ + ".json");
    store = std::make_unique<ClusterStore>(bench_.world(), *local, *catalogue);
    catalogue->start();
  }
  io::Task<void> stop() { co_await catalogue->stop(); }

  // A small model's blobs; answers its manifest.
  io::Task<std::string> put_blobs(std::string system) {
    const std::string prefix(model::kLayerMediaPrefix);
    const std::string config = R"({"model_format":"gguf"})", weights = tiny_gguf();
    model::Manifest manifest;
    const auto config_digest = co_await local->put_blob(config);
    const auto weights_digest = co_await local->put_blob(weights);
    const auto system_digest = co_await local->put_blob(system);
    EXPECT_TRUE(config_digest && weights_digest && system_digest);
    manifest.config = {std::string(model::kConfigMediaType), *config_digest, config.size(), ""};
    manifest.layers.push_back({prefix + "model", *weights_digest, weights.size(), ""});
    manifest.layers.push_back({prefix + "system", *system_digest, system.size(), ""});
    co_return manifest.to_json();
  }
  io::Task<Result<void>> put(std::string model, std::string system) {
    std::string manifest = co_await put_blobs(std::move(system));
    auto done = co_await store->put_manifest(name(model), std::move(manifest));
    co_return done;
  }
  io::Task<std::vector<std::string>> names() {
    std::vector<std::string> all;
    const auto listed = co_await store->list();
    EXPECT_TRUE(listed.has_value());
    if (!listed) co_return all;
    for (const store::StoredManifest& stored : *listed) all.push_back(stored.name.shortest());
    std::ranges::sort(all);
    co_return all;
  }
  std::string system_of(std::string_view model) {
    const auto loaded = store->load(name(model));
    return loaded ? (*loaded)->system : loaded.error().what;
  }

 private:
  Bench& bench_;
  std::string folder_;
};

TEST(ClusterStore, AModelPutOnOneNodeIsSeenByAll) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    ClusterNode here(bench, "/here"), there(bench, "/there");
    co_await here.start();
    co_await there.start();
    const auto put = co_await here.put("m", "Be kind.");
    CO_ASSERT(put.has_value());
    EXPECT_THAT(co_await here.names(), ElementsAre("m:latest"));
    co_await bench.sleep(seconds(1));
    EXPECT_THAT(co_await there.names(), ElementsAre("m:latest"));
    EXPECT_EQ(there.system_of("M"), "Be kind.");
    const auto model = there.store->load(name("m"));
    CO_ASSERT(model.has_value());
    EXPECT_EQ((*model)->gguf.architecture, "llama");
    EXPECT_FALSE(there.store->blob_size((*model)->weights).has_value());
    EXPECT_EQ(*there.store->read_manifest(name("m")), *here.store->read_manifest(name("m")));
    co_await here.stop();
    co_await there.stop();
  });
}

TEST(ClusterStore, AModelThatNoMajorityAgreedOnIsNotKept) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    ClusterNode here(bench, "/here");
    co_await here.start();
    const auto first = co_await here.put("m", "old");
    CO_ASSERT(first.has_value());
    bench.metadata->away = true;
    for (const char* model : {"m", "n"}) {
      const auto refused = co_await here.put(model, "new");
      CO_ASSERT(!refused.has_value());
      EXPECT_EQ(refused.error().code, Errc::not_leader);
      EXPECT_THAT(refused.error().what, HasSubstr("models are served meanwhile"));
    }
    EXPECT_THAT(co_await here.names(), ElementsAre("m:latest"));
    EXPECT_EQ(here.system_of("m"), "old");
    EXPECT_EQ((*here.local->load(name("m")))->system, "old");
    EXPECT_FALSE(here.local->find(name("n")).has_value());
    co_await here.stop();
  });
}

TEST(ClusterStore, ModelsAreThereAfterARestartWithoutAMajority) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    ClusterNode here(bench, "/here"), there(bench, "/there");
    co_await here.start();
    co_await there.start();
    const auto put = co_await here.put("m", "Be kind.");
    CO_ASSERT(put.has_value());
    co_await bench.sleep(seconds(1));
    co_await there.stop();
    bench.metadata->away = true;
    ClusterNode again(bench, "/there");
    co_await again.start();
    EXPECT_EQ(again.system_of("m"), "Be kind.");
    const auto removed = co_await again.store->remove(name("m"));
    CO_ASSERT(!removed.has_value());
    EXPECT_EQ(removed.error().code, Errc::not_leader);
    EXPECT_THAT(co_await again.names(), ElementsAre("m:latest"));
    co_await here.stop();
    co_await again.stop();
  });
}

TEST(ClusterStore, CopiesAndRemovesForAll) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    ClusterNode here(bench, "/here"), there(bench, "/there");
    co_await here.start();
    co_await there.start();
    const auto put = co_await here.put("m", "Be kind.");
    CO_ASSERT(put.has_value());
    co_await bench.sleep(seconds(1));
    const auto copied = co_await there.store->copy(name("m"), name("copy"));
    EXPECT_TRUE(copied.has_value());
    const auto removed = co_await there.store->remove(name("m"));
    EXPECT_TRUE(removed.has_value());
    co_await bench.sleep(seconds(1));
    EXPECT_EQ(here.system_of("copy"), "Be kind.");
    EXPECT_EQ(here.catalogue->find(name("m")), nullptr);
    const auto unknown = co_await there.store->remove(name("nothing"));
    CO_ASSERT(!unknown.has_value());
    EXPECT_EQ(unknown.error().code, Errc::not_found);
    co_await here.stop();
    co_await there.stop();
  });
}

TEST(ClusterStore, LearnsOfAModelThatTheWatchHasNotToldYet) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    ClusterNode here(bench, "/here"), there(bench, "/there");
    co_await here.start();
    co_await there.start();
    co_await bench.sleep(seconds(1));
    const auto put = co_await here.put("m", "Be kind.");
    CO_ASSERT(put.has_value());
    EXPECT_THAT(there.system_of("m"), HasSubstr("not found"));
    co_await there.store->learn(name("M"));
    EXPECT_EQ(there.system_of("m"), "Be kind.");
    co_await there.store->learn(name("nothing"));
    EXPECT_THAT(there.system_of("nothing"), HasSubstr("not found"));
    bench.metadata->away = true;
    const auto begun = bench.sim.clock().now();
    co_await there.store->learn(name("nothing"));
    EXPECT_LE(bench.sim.clock().now() - begun, store::Store::kLearnMax);
    bench.metadata->away = false;
    co_await here.stop();
    co_await there.stop();
  });
}

TEST(ClusterStore, CopiesWhatANameMeansNowNotWhatItMeantBefore) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    ClusterNode here(bench, "/here"), there(bench, "/there");
    co_await here.start();
    co_await there.start();
    const auto first = co_await here.put("m", "old");
    CO_ASSERT(first.has_value());
    co_await bench.sleep(seconds(1));
    for (const char* from : {"other", "m"}) {
      const auto again = co_await here.put(from, "new");
      CO_ASSERT(again.has_value());
      EXPECT_NE(there.system_of(from), "new");
      const auto copied = co_await there.store->copy(name(from), name(std::string(from) + "-copy"));
      EXPECT_TRUE(copied.has_value()) << copied.error().what;
    }
    EXPECT_EQ(there.system_of("m-copy"), "new");
    EXPECT_EQ(there.system_of("other-copy"), "new");
    co_await here.stop();
    co_await there.stop();
  });
}

// Written by a newer version, or of a format that none could read yet.
TEST(ClusterStore, ANameDoesNotMeanItsOldModelWhereTheNewOneCannotBeRead) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    ClusterNode here(bench, "/here"), there(bench, "/there");
    co_await here.start();
    co_await there.start();
    const auto put = co_await here.put("m", "old");
    CO_ASSERT(put.has_value());
    co_await bench.sleep(seconds(1));
    EXPECT_EQ(there.system_of("m"), "old");
    int gone = 0;
    there.catalogue->on_change([&gone](const auto&, const Card* before, const Card* now) {
      if (before != nullptr && now == nullptr) gone++;
    });
    const auto replaced =
        co_await here.catalogue->put_text(name("m"), R"({"name":"m","manifest":"{}"})", {});
    EXPECT_TRUE(replaced.has_value());
    co_await bench.sleep(seconds(1));
    EXPECT_EQ(gone, 1);
    EXPECT_THAT(there.system_of("m"), HasSubstr("not found"));
    co_await here.stop();
    co_await there.stop();
  });
}

// Nor one of a newer version: the copy lacks what only that one knows, and is to be made anew.
TEST(ClusterStore, ACopyDoesNotMakeAnOldCardANewOne) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    ClusterNode here(bench, "/here");
    co_await here.start();
    const auto put = co_await here.put("m", "Be kind.");
    CO_ASSERT(put.has_value());
    const Card* card = here.catalogue->find(name("m"));
    CO_ASSERT(card != nullptr);
    EXPECT_EQ(card->by, kVersion);
    const Card own = *card;
    for (const auto& [by, copied_by] :
         {std::pair("0.1.0", "0.1.0"), std::pair("99.0.0", kVersion)}) {
      auto other = write_card(*own.model, own.manifest, by);
      CO_ASSERT(other.has_value());
      const auto written = co_await here.catalogue->put_text(name("m"), std::move(*other), {});
      EXPECT_TRUE(written.has_value());
      const auto copied = co_await here.store->copy(name("m"), name("copy"));
      EXPECT_TRUE(copied.has_value());
      CO_ASSERT(here.catalogue->find(name("copy")) != nullptr);
      EXPECT_EQ(here.catalogue->find(name("copy"))->by, std::string_view(copied_by));
    }
    co_await here.stop();
  });
}

io::Task<void> make_again(ClusterNode& node, bool for_all) {
  std::string manifest = co_await node.put_blobs("new");
  store::Store& store = for_all ? static_cast<store::Store&>(*node.store) : *node.local;
  const auto put = co_await store.put_manifest(name("m"), std::move(manifest));
  EXPECT_TRUE(put.has_value());
}

TEST(ClusterStore, AModelMadeAgainWhileItsDeleteIsAgreedOnStays) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    ClusterNode here(bench, "/here");
    co_await here.start();
    for (const bool for_all : {true, false}) {
      const auto put = co_await here.put("m", "old");
      CO_ASSERT(put.has_value());
      bench.metadata->after_commit = [&here, for_all] { return make_again(here, for_all); };
      const auto removed = co_await here.store->remove(name("m"));
      EXPECT_TRUE(removed.has_value());
      EXPECT_EQ(here.system_of("m"), "new");
      const auto local = here.local->load(name("m"));
      CO_ASSERT(local.has_value());
      EXPECT_EQ((*local)->system, "new");
    }
    co_await here.stop();
  });
}

}  // namespace
}  // namespace om::cluster
