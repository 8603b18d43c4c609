#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/gguf_builder.h"
#include "model/messages.h"
#include "store/disk_space.h"
#include "store/hash_file.h"
#include "store/model_loader.h"
#include "store/partial_room.h"
#include "store/testing/failing_files.h"
#include "store/testing/world.h"

namespace om::store {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StoreWorld;

class LoadedModel : public StoreWorld {
 protected:
  model::Layer layer(std::string_view kind, const std::string& data) {
    return {std::string(model::kLayerMediaPrefix) + std::string(kind), put(data), data.size(), ""};
  }
  void put_chat_model(std::string_view text, const std::string& system) {
    const std::string weights = model::GgufBuilder()
                                    .text("general.architecture", "llama")
                                    .text("tokenizer.chat_template", "{{ tools }}")
                                    .u32("llama.context_length", 512)
                                    .bytes();
    model::Config config;
    config.model_format = "gguf";
    config.model_family = "llama";
    const std::string config_json = config.to_json();
    model::Manifest manifest;
    manifest.config = {std::string(model::kConfigMediaType), put(config_json), config_json.size(),
                       ""};
    manifest.layers = {layer("model", weights),
                       layer("system", system),
                       layer("params", "{\"temperature\":0.5,\"stop\":[\"x\"]}"),
                       layer("messages", "[{\"role\":\"user\",\"content\":\"hi\"}]"),
                       layer("license", "one"),
                       layer("license", "two"),
                       layer("of the future", "?")};
    ASSERT_TRUE(wait(store().put_manifest(name(text), manifest.to_json())));
  }
};

TEST_F(LoadedModel, HasItsSmallLayersAndTheHeaderOfItsWeights) {
  open();
  put_chat_model("chat", "Be brief.");
  const auto loaded = store().load(name("chat"));
  ASSERT_TRUE(loaded) << loaded.error().what;
  const Model& model = **loaded;
  EXPECT_EQ(model.system, "Be brief.");
  EXPECT_EQ(model.params.at("temperature").to_number<double>(), 0.5);
  ASSERT_EQ(model.messages.size(), 1U);
  EXPECT_EQ(model.messages[0].content, "hi");
  EXPECT_THAT(model.licenses, ElementsAre("one", "two"));
  EXPECT_FALSE(model.template_text);
  EXPECT_EQ(model.config.model_family, "llama");
  EXPECT_EQ(model.gguf.architecture, "llama");
  EXPECT_EQ(model.gguf.context_length, 512);
  EXPECT_EQ(model.weights_path, store().blob_path(model.weights));
  EXPECT_TRUE(model.can("completion"));
  EXPECT_TRUE(model.can("tools"));
  EXPECT_FALSE(model.can("vision"));
}

TEST_F(LoadedModel, IsRefusedWhenThereIsTooMuchToRead) {
  open();
  put_chat_model("chat", "one");
  const model::Manifest plain = store().load(name("chat")).value()->manifest;
  const auto load_with = [&](const std::vector<model::Layer>& more) {
    model::Manifest manifest = plain;
    manifest.layers.insert(manifest.layers.end(), more.begin(), more.end());
    EXPECT_TRUE(wait(store().put_manifest(name("chat"), manifest.to_json())));
    return store().load(name("chat"));
  };
  const std::string text(kTextBytesMax, 'x');
  const auto again = load_with(std::vector(100, layer("license", text)));
  ASSERT_TRUE(again) << again.error().what;
  EXPECT_THAT((*again)->licenses, ElementsAre("one", "two", text));

  // The size is the manifest's word only.
  const auto sizes = [this](std::string_view kind, const std::string& data, uint64_t count) {
    std::vector<model::Layer> layers(count, layer(kind, data));
    for (uint64_t i = 0; i < count; i++) layers[i].size = i;
    return layers;
  };
  for (const auto& more : {sizes("license", text, 4), sizes("system", text, 4),
                           sizes("license", "small", 1000), sizes("adapter", "any", 1001)}) {
    const auto refused = load_with(more);
    ASSERT_FALSE(refused) << more[0].media_type;
    EXPECT_EQ(refused.error().code, Errc::corrupt);
    EXPECT_THAT(refused.error().what, HasSubstr("chat:latest: more than 1000 layers to read"));
  }
  EXPECT_TRUE(load_with(sizes("adapter", "any", 900)));
}

TEST_F(LoadedModel, IsReadOnceAndAgainAfterAChange) {
  open();
  put_chat_model("chat", "one");
  const auto first = store().load(name("chat")).value();
  EXPECT_EQ(store().load(name("CHAT")).value(), first);
  put_chat_model("chat", "two");
  EXPECT_EQ(store().load(name("chat")).value()->system, "two");
}

TEST_F(LoadedModel, IsRefusedWhenItsWeightsAreGoneOrNoGguf) {
  open();
  put_chat_model("chat", "one");
  const auto model = store().load(name("chat")).value();
  ASSERT_TRUE(wait(store().remove_blob(model->weights)));
  EXPECT_EQ(store().load(name("chat")).error().code, Errc::not_found);
  write_raw("blobs/" + model->weights.file_name(), "not a gguf");
  EXPECT_EQ(store().load(name("chat")).error().code, Errc::corrupt);
}

TEST_F(LoadedModel, IsKnownToListsHoweverManyThereAre) {
  open();
  put_chat_model("model", "one");
  const auto weights = store().load(name("model")).value()->weights;
  for (int i = 0; i < 70; i++) put_chat_model("model" + std::to_string(i), std::to_string(i));
  const auto listed = wait(store().list()).value();
  std::vector<std::shared_ptr<const ModelDetails>> first;
  for (const auto& details : wait(store().details(listed))) first.push_back(details.value());
  EXPECT_EQ(first.front()->family, "llama");
  EXPECT_EQ(first.front()->context_length, 512);
  EXPECT_THAT(first.front()->capabilities, ElementsAre("completion", "tools"));
  write_raw("blobs/" + weights.file_name(), "not a gguf");  // Whoever reads it again notices.
  const auto again = wait(store().details(listed));
  for (size_t i = 0; i < listed.size(); i++) EXPECT_EQ(again[i].value_or(nullptr), first[i]) << i;
  ASSERT_TRUE(wait(store().remove_blob(weights)));
  EXPECT_EQ(wait(store().details(listed))[0].error().code, Errc::not_found);
}

// On a disk that pauses the io thread, with all its streams, goes on.
TEST_F(LoadedModel, IsListedByWorkersAlone) {
  testing::FailingFiles failing(files());
  io::World slow_disk = failing.world_with(world());
  open();
  for (const char* model : {"a", "b"}) put_chat_model(model, "one");
  const auto store = wait(Store::open(slow_disk, root(), true)).value();
  failing.looks_of_maker = 0;
  for (int i = 0; i < 2; i++) {
    const auto listed = wait(store->list()).value();
    ASSERT_EQ(listed.size(), 2U);
    for (const auto& details : wait(store->details(listed))) EXPECT_TRUE(details);
  }
  EXPECT_EQ(failing.looks_of_maker, 0U);
}

class PartialBlobs : public StoreWorld {
 protected:
  static constexpr uint64_t kBlock = PartialBlob::kBlockBytes;
  std::string data_ = std::string(kBlock, 'a') + std::string(kBlock, 'b') + "the end";
  Digest digest_ = Digest::of(data_);
  std::unique_ptr<PartialBlob> open_blob() {
    return wait(store().open_partial(digest_, data_.size())).value();
  }
  void write(PartialBlob& blob, size_t block) {
    const auto done = wait(blob.write_block(block, data_.substr(block * kBlock, kBlock)));
    ASSERT_TRUE(done) << done.error().what;
  }
};

TEST_F(PartialBlobs, AppearOnlyWhenWholeAndVerified) {
  open();
  auto blob = open_blob();
  EXPECT_EQ(blob->block_count(), 3U);
  for (const size_t block : {2, 0, 1}) {
    write(*blob, block);
    EXPECT_FALSE(store().blob_size(digest_));
  }
  ASSERT_TRUE(wait(blob->finish()));
  EXPECT_EQ(store().read_blob(digest_, data_.size()).value(), data_);
  blob.reset();
  EXPECT_THAT(files().list(root() + "/partial").value(), ElementsAre("lock"));
}

TEST_F(PartialBlobs, GoOnWithWhatWasSynced) {
  open();
  auto blob = open_blob();
  write(*blob, 1);
  ASSERT_TRUE(wait(blob->sync()));
  write(*blob, 2);  // Not synced: forgotten.
  blob.reset();
  open();
  blob = open_blob();
  EXPECT_FALSE(blob->has_block(0));
  EXPECT_TRUE(blob->has_block(1));
  EXPECT_FALSE(blob->has_block(2));
  EXPECT_EQ(blob->bytes_present(), kBlock);
  write(*blob, 0);
  write(*blob, 2);
  EXPECT_TRUE(wait(blob->finish()));
}

TEST_F(PartialBlobs, AreRemovedWhenTheDigestDiffers) {
  open();
  auto blob = open_blob();
  write(*blob, 0);
  write(*blob, 2);
  ASSERT_TRUE(wait(blob->write_block(1, std::string(kBlock, 'x'))));
  const auto done = wait(blob->finish());
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Errc::corrupt);
  EXPECT_THAT(done.error().what, HasSubstr("digest mismatch, file must be downloaded again"));
  blob.reset();
  EXPECT_FALSE(store().blob_size(digest_));
  EXPECT_EQ(open_blob()->bytes_present(), 0U);
}

// As a bad sector: the file can be opened, and not be read to its end.
TEST_F(PartialBlobs, AreRemovedWhenTheyCannotBeRead) {
  testing::FailingFiles failing(files());
  io::World bad_disk = failing.world_with(world());
  const auto store = wait(Store::open(bad_disk, root(), true)).value();
  auto blob = wait(store->open_partial(digest_, data_.size())).value();
  for (const size_t block : {0, 1, 2}) write(*blob, block);
  failing.fail_read = blob->path();
  const auto done = wait(blob->finish());
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Errc::corrupt);
  failing.fail_read.clear();  // It is written elsewhere on the disk.
  blob.reset();
  blob = wait(store->open_partial(digest_, data_.size())).value();
  EXPECT_EQ(blob->bytes_present(), 0U);
  for (const size_t block : {0, 1, 2}) write(*blob, block);
  EXPECT_TRUE(wait(blob->finish()));
}

TEST_F(PartialBlobs, StartAfreshWhenTheStateIsMissingOrForeign) {
  open();
  auto blob = open_blob();
  write(*blob, 0);
  ASSERT_TRUE(wait(blob->sync()));
  blob.reset();
  const std::string state = "partial/" + digest_.file_name() + ".state";
  write_raw(state, "something else");
  EXPECT_EQ(open_blob()->bytes_present(), 0U);
  ASSERT_TRUE(files().remove(root() + "/" + state));
  EXPECT_EQ(open_blob()->bytes_present(), 0U);
}

TEST_F(PartialBlobs, AreReceivedByOneAtATime) {
  open();
  const auto blob = open_blob();
  EXPECT_EQ(wait(store().open_partial(digest_, data_.size())).error().code, Errc::overloaded);
  auto other = wait(Store::open(world(), root(), true)).value();
  EXPECT_EQ(wait(other->open_partial(digest_, data_.size())).error().code, Errc::overloaded);
}

TEST_F(PartialBlobs, SayHowMuchSpaceIsNeededBeforeTheyStart) {
  open();
  const auto opened = wait(store().open_partial(digest_, uint64_t{1} << 62));
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Errc::io_failed);
  EXPECT_THAT(opened.error().what, HasSubstr("4611686 TB needed (4611686018427387904 bytes), "));
}

// Downloads on a disk of which the test says how much is free.
class PartialBlobsOfAFullDisk : public PartialBlobs {
 protected:
  void SetUp() override {
    files_.told_space = [this] { return io::Space{1000 * kBlock, free_blocks_ * kBlock}; };
    store_ = wait(Store::open(small_disk_, root(), true)).value();
  }
  Result<std::unique_ptr<PartialBlob>> open_blocks(std::string_view of, uint64_t count) {
    return wait(store_->open_partial(Digest::of(of), count * kBlock));
  }
  std::string refusal(std::string_view of, uint64_t count) {
    const auto opened = open_blocks(of, count);
    return opened ? "" : opened.error().what;
  }

  uint64_t free_blocks_ = 0;  // 10 of them stay free.
  testing::FailingFiles files_{files()};
  io::World small_disk_ = files_.world_with(world());
  std::unique_ptr<Store> store_;
};

TEST_F(PartialBlobsOfAFullDisk, AreNotPromisedTheSameRoom) {
  free_blocks_ = 50;
  auto first = open_blocks("a", 25).value();
  EXPECT_THAT(refusal("b", 16), HasSubstr("not enough disk space"));
  EXPECT_THAT(refusal("b", 16), HasSubstr(", 26 MB are for other downloads"));
  EXPECT_TRUE(open_blocks("b", 15));
  for (size_t i = 0; i < 5; i++) {
    ASSERT_TRUE(wait(first->write_block(i, std::string(kBlock, 'x'))));
    free_blocks_--;
  }
  EXPECT_TRUE(open_blocks("b", 15)) << "what was written is in no promise any more";
  EXPECT_NE(refusal("b", 16), "");
  first.reset();
  EXPECT_TRUE(open_blocks("b", 35));
  EXPECT_NE(refusal("b", 36), "");
}

TEST_F(PartialBlobsOfAFullDisk, EndBeforeItIsFull) {
  free_blocks_ = 50;
  const auto blob = open_blocks("a", 40).value();
  free_blocks_ = 9;  // Somebody else's bytes.
  Result<void> done;
  for (size_t i = 0; i < 40 && done; i++) {
    done = wait(blob->write_block(i, std::string(kBlock, 'x')));
  }
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Errc::io_failed);
  EXPECT_THAT(done.error().what, HasSubstr("9.4 MB free (9437184 bytes), 10 MB of which stay"));
  EXPECT_LT(blob->bytes_present(), 17 * kBlock);
  EXPECT_TRUE(wait(blob->sync())) << "what came is kept";
  const auto upload = wait(store_->write_blob()).value();
  EXPECT_FALSE(wait(upload->write(std::string(2 * kBlock, 'x'))));
  EXPECT_TRUE(wait(store_->put_blob("what is small goes on")));
}

TEST_F(PartialBlobsOfAFullDisk, MakeRoomWhenNobodyGoesOnWithThem) {
  free_blocks_ = 50;
  auto left = open_blocks("left", 30).value();
  for (size_t i = 0; i < 20; i++) {
    ASSERT_TRUE(wait(left->write_block(i, std::string(kBlock, 'x'))));
  }
  ASSERT_TRUE(wait(left->sync()));
  left.reset();
  const io::Path file = root() + "/partial/" + Digest::of("left").file_name();
  files_.told_space = [&] {
    return io::Space{1000 * kBlock, (files().exists(file) ? 30 : 50) * kBlock};
  };
  EXPECT_THAT(refusal("new", 30), HasSubstr("; 21 MB are kept of downloads that broke off"));
  pass(kGivenUpAge + std::chrono::minutes(1));
  EXPECT_NE(refusal("new", 41), "") << "dropping it would not help";
  auto hold = wait(store_->hold({Digest::of("left")})).value();
  EXPECT_NE(refusal("new", 30), "") << "a pull is about to go on with it";
  hold.reset();
  EXPECT_TRUE(files().exists(file));
  EXPECT_EQ(refusal("new", 30), "");
  EXPECT_FALSE(files().exists(file));
  EXPECT_FALSE(files().exists(file + ".state"));
}

TEST(DiskSpace, IsToldInWordsPeopleRead) {
  EXPECT_EQ(human_bytes(999), "999 B");
  EXPECT_EQ(human_bytes(1'500), "1.5 KB");
  EXPECT_EQ(human_bytes(720'000'000), "720 MB");
  EXPECT_EQ(human_bytes(4'100'000'000), "4.1 GB");
}

class Workspaces : public StoreWorld {};

TEST_F(Workspaces, GiveTheirFilesToTheStoreAndVanish) {
  open();
  auto workspace = wait(store().make_workspace()).value();
  const io::Path file = workspace->path() + "/out.gguf";
  ASSERT_TRUE(files().write_file(file, "made by a child"));
  ASSERT_TRUE(files().write_file(workspace->path() + "/rest", "x"));
  const Digest digest = wait(hash_file(world(), file)).value();
  ASSERT_TRUE(wait(store().adopt_file(file, digest)));
  EXPECT_EQ(store().read_blob(digest, 100).value(), "made by a child");
  auto other = wait(Store::open(world(), root(), true)).value();
  EXPECT_TRUE(files().exists(workspace->path()));  // Another start leaves it alone.
  workspace.reset();
  EXPECT_THAT(files().list(root() + "/partial").value(), ElementsAre("lock"));
  write_raw("partial/work-1-1/left by a crash", "x");
  other = wait(Store::open(world(), root(), true)).value();
  EXPECT_THAT(files().list(root() + "/partial").value(), ElementsAre("lock"));
}

}  // namespace
}  // namespace om::store
