#include "store/disk_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/log.h"
#include "store/testing/failing_files.h"
#include "store/testing/world.h"

namespace om::store {
namespace {

using testing::HasSubstr;
using testing::StoreWorld;

class BlobStore : public StoreWorld {};

TEST_F(BlobStore, PutsABlobUnderItsDigestInOllamasLayout) {
  open();
  const Digest digest = put("hello");
  EXPECT_EQ(digest.hex(), "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
  EXPECT_EQ(files().read_file(root() + "/blobs/sha256-" + digest.hex(), 100).value(), "hello");
  EXPECT_EQ(store().blob_size(digest).value(), 5U);
}

TEST_F(BlobStore, KeepsNothingWhenTheDigestDiffers) {
  open();
  auto writer = wait(store().write_blob()).value();
  ASSERT_TRUE(wait(writer->write("wrong")));
  const auto done = wait(writer->finish(Digest::of("right")));
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Errc::corrupt);
  EXPECT_EQ(done.error().what, "digest mismatch, expected \"" + Digest::of("right").str() +
                                   "\", got \"" + Digest::of("wrong").str() + "\"");
  writer.reset();
  EXPECT_THAT(files().list(root() + "/blobs").value(), testing::IsEmpty());
  EXPECT_THAT(files().list(root() + "/partial").value(), testing::ElementsAre("lock"));
}

TEST_F(BlobStore, HashesABlobThatComesInManyPieces) {
  open();
  auto writer = wait(store().write_blob()).value();
  std::string all;
  for (int i = 0; i < 50; i++) {
    const std::string piece(70'001, static_cast<char>('a' + i % 26));
    all += piece;
    ASSERT_TRUE(wait(writer->write(piece)));
  }
  const auto digest = wait(writer->finish({}));
  EXPECT_EQ(digest.value(), Digest::of(all));
  EXPECT_EQ(store().read_blob(*digest, all.size()).value(), all);
}

TEST_F(BlobStore, FindsABitThatFlippedOnTheDisk) {
  open();
  const Digest digest = put(std::string(100'000, 'x'));
  EXPECT_TRUE(wait(store().verify(digest)));
  auto file = files().open(store().blob_path(digest), io::Filesystem::Open::read_write).value();
  ASSERT_TRUE(file->write_at(54'321, "y"));
  const auto verified = wait(store().verify(digest));
  ASSERT_FALSE(verified);
  EXPECT_EQ(verified.error().code, Errc::corrupt);
  EXPECT_EQ(store().read_blob(digest, 100'000).error().code, Errc::io_failed);
  put(std::string(100'000, 'x'));  // Receiving it again heals it.
  EXPECT_TRUE(wait(store().verify(digest)));
}

TEST_F(BlobStore, SaysThatABlobIsMissing) {
  open();
  EXPECT_EQ(store().blob_size(Digest::of("none")).error().code, Errc::not_found);
  EXPECT_EQ(wait(store().verify(Digest::of("none"))).error().code, Errc::not_found);
}

class ManifestStore : public StoreWorld {};

TEST_F(ManifestStore, WritesTheManifestVerbatimAndFindsItWithoutCase) {
  open();
  const std::string bytes = put_model("Some/Model:Tag", {"layer one"});
  EXPECT_EQ(
      files().read_file(root() + "/manifests/registry.ollama.ai/Some/Model/Tag", 9999).value(),
      bytes);
  const auto found = store().find(name("some/mODEL:tag"));
  ASSERT_TRUE(found) << found.error().what;
  EXPECT_EQ(found->name.shortest(), "Some/Model:Tag");
  EXPECT_EQ(found->digest, Digest::of(bytes));
  EXPECT_EQ(store().read_manifest(name("SOME/MODEL:TAG")).value(), bytes);
}

TEST_F(ManifestStore, TakesTheSpellingThatIsThere) {
  open();
  put_model("Llama:8B", {"one"});
  put_model("llama:8b", {"two"});
  put_model("LLAMA:70b", {"three"});
  EXPECT_THAT(names(), testing::UnorderedElementsAre("Llama:8B", "Llama:70b"));
}

TEST_F(ManifestStore, SaysWhichModelIsNotThere) {
  open();
  EXPECT_EQ(store().find(name("x")).error().what, "model 'x:latest' not found");
  EXPECT_EQ(store().find(name("x")).error().code, Errc::not_found);
  EXPECT_EQ(wait(store().remove(name("x"))).error().code, Errc::not_found);
  EXPECT_EQ(wait(store().copy(name("x"), name("y"))).error().code, Errc::not_found);
}

TEST_F(ManifestStore, RefusesAManifestWhoseBlobIsMissing) {
  open();
  const std::string bytes = put_model("a", {"layer"});
  ASSERT_TRUE(wait(store().remove_blob(Digest::of("layer"))));
  const auto put_again = wait(store().put_manifest(name("b"), bytes));
  ASSERT_FALSE(put_again);
  EXPECT_THAT(put_again.error().what, HasSubstr(Digest::of("layer").str()));
  EXPECT_THAT(names(), testing::ElementsAre("a:latest"));
}

TEST_F(ManifestStore, RemovesAModelWithTheBlobsNobodyElseNames) {
  open();
  put_model("a", {"shared", "only a"});
  put_model("b", {"shared", "only b"});
  ASSERT_TRUE(wait(store().remove(name("A"))));
  EXPECT_THAT(names(), testing::ElementsAre("b:latest"));
  EXPECT_FALSE(store().blob_size(Digest::of("only a")));
  EXPECT_TRUE(store().blob_size(Digest::of("shared")));
  EXPECT_FALSE(files().exists(root() + "/manifests/registry.ollama.ai/library/a"));
  ASSERT_TRUE(wait(store().remove(name("b"))));
  EXPECT_THAT(files().list(root() + "/blobs").value(), testing::IsEmpty());
  EXPECT_THAT(files().list(root() + "/manifests").value(), testing::IsEmpty());
}

TEST_F(ManifestStore, CopiesOnlyTheManifest) {
  open();
  const std::string bytes = put_model("a", {"layer"});
  ASSERT_TRUE(wait(store().copy(name("a"), name("host:5000/me/b:1"))));
  EXPECT_EQ(store().read_manifest(name("host:5000/me/b:1")).value(), bytes);
  ASSERT_TRUE(wait(store().remove(name("a"))));
  EXPECT_TRUE(store().blob_size(Digest::of("layer")));
}

TEST_F(ManifestStore, SkipsACorruptManifestAndThenCollectsNothing) {
  open();
  put_model("good", {"layer"});
  put_model("bad", {"other"});
  write_raw("manifests/registry.ollama.ai/library/bad/latest", "{\"schemaVersion\":2");
  EXPECT_THAT(names(), testing::ElementsAre("good:latest"));
  EXPECT_EQ(store().find(name("bad")).error().code, Errc::corrupt);
  ASSERT_TRUE(wait(store().remove(name("good"))));
  EXPECT_TRUE(store().blob_size(Digest::of("layer")));  // The corrupt one might name it.
  ASSERT_TRUE(wait(store().remove(name("bad"))));
  EXPECT_THAT(names(), testing::IsEmpty());
}

TEST_F(ManifestStore, PutsARottenBlobAsideAndListsTheRest) {
  open();
  put_model("a", {"layer"});
  const Digest rotten = Digest::of("layer"), config = Digest::of("{}");
  EXPECT_THAT(store().blobs().value(), testing::UnorderedElementsAre(rotten, config));
  ASSERT_TRUE(wait(store().quarantine_blob(rotten)));
  EXPECT_THAT(store().blobs().value(), testing::ElementsAre(config));
  EXPECT_EQ(store().blob_size(rotten).error().code, Errc::not_found);
  EXPECT_TRUE(files().exists(root() + "/partial/" + rotten.file_name() + ".rotten"));
  EXPECT_EQ(wait(store().quarantine_blob(rotten)).error().code, Errc::not_found);
  open();
  EXPECT_TRUE(files().exists(root() + "/partial/" + rotten.file_name() + ".rotten"));
  put("layer");
  EXPECT_TRUE(store().blob_size(rotten));
}

TEST_F(ManifestStore, KeepsARottenBlobForAWeekHoweverOldItWas) {
  open();
  const Digest rotten = put("layer");
  const auto old = std::filesystem::file_time_type::clock::now() - 2 * kPartialAgeMax;
  std::filesystem::last_write_time(store().blob_path(rotten), old);
  ASSERT_TRUE(wait(store().quarantine_blob(rotten)));
  const io::Path aside = root() + "/partial/" + rotten.file_name() + ".rotten";
  reopen_after(kPartialAgeMax - std::chrono::hours(1), true);
  EXPECT_EQ(files().read_file(aside, 100).value(), "layer");
  reopen_after(kPartialAgeMax + std::chrono::hours(1), true);
  EXPECT_FALSE(files().exists(aside));
}

class Pruning : public StoreWorld {};

TEST_F(Pruning, RemovesOldUnreferencedBlobsAndForeignNamesAtOpen) {
  open();
  put_model("a", {"kept"});
  put("old and unused");
  write_raw("blobs/sha256-1234-partial", "x");
  reopen_after(std::chrono::minutes(30), true);
  EXPECT_TRUE(store().blob_size(Digest::of("old and unused")));
  reopen_after(std::chrono::minutes(61), false);
  EXPECT_TRUE(store().blob_size(Digest::of("old and unused")));
  reopen_after(std::chrono::minutes(61), true);
  EXPECT_FALSE(store().blob_size(Digest::of("old and unused")));
  EXPECT_FALSE(files().exists(root() + "/blobs/sha256-1234-partial"));
  EXPECT_TRUE(store().blob_size(Digest::of("kept")));
}

TEST_F(Pruning, LeavesEverythingWhenAManifestIsCorrupt) {
  open();
  put("old and unused");
  write_raw("manifests/h/n/m/t", "nonsense");
  reopen_after(std::chrono::hours(2), true);
  EXPECT_TRUE(store().blob_size(Digest::of("old and unused")));
}

TEST_F(Pruning, LeavesEverythingWhenAManifestCannotBeRead) {
  open();
  put("old and unused");
  put_model("a", {"layer"});
  write_raw("manifests/h/n/large/t", std::string(kManifestBytesMax + 1, ' '));
  std::filesystem::create_directories(root() + "/manifests/h/n/gone");
  std::filesystem::create_symlink("/nowhere", root() + "/manifests/h/n/gone/t");
  reopen_after(std::chrono::hours(2), true);  // And the node starts.
  EXPECT_TRUE(store().blob_size(Digest::of("old and unused")));
  EXPECT_THAT(names(), testing::ElementsAre("a:latest"));
  const auto removed = wait(store().remove(name("a")));
  EXPECT_TRUE(removed) << removed.error().what;
  EXPECT_TRUE(store().blob_size(Digest::of("layer")));
}

TEST_F(Pruning, LeavesEverythingWhenAFolderOfManifestsCannotBeListed) {
  open();
  put_model("a", {"layer"});
  put_model("u/b", {"other"});
  testing::FailingFiles failing(files());
  failing.fail_list = root() + "/manifests/registry.ollama.ai/u";
  io::World with_failure = failing.world_with(world());
  reopen_after(std::chrono::hours(2), false);
  auto opened = wait(Store::open(with_failure, root(), true));
  ASSERT_TRUE(opened) << opened.error().what;
  EXPECT_TRUE(store().blob_size(Digest::of("other")));
  EXPECT_EQ(wait((*opened)->list()).value().size(), 1U);  // As far as it can be seen.
  EXPECT_TRUE(wait((*opened)->remove(name("a"))));
  EXPECT_TRUE(store().blob_size(Digest::of("layer")));
}

TEST_F(Pruning, SparesWhatAnotherProcessHolds) {
  open();
  put_model("a", {"layer"});
  auto other = wait(Store::open(world(), root(), true)).value();  // Its own files and locks.
  auto held = wait(other->hold({Digest::of("layer")})).value();
  ASSERT_TRUE(wait(store().remove(name("a"))));
  EXPECT_TRUE(store().blob_size(Digest::of("layer")));
  held.reset();
  std::vector<Digest> candidates{Digest::of("layer")};
  ASSERT_TRUE(wait(store().remove_unreferenced(candidates)));
  EXPECT_FALSE(store().blob_size(Digest::of("layer")));
}

TEST_F(Pruning, SparesTheFinishedLayersOfAPullThatACrashEnded) {
  open();
  put("layer");
  write_raw("partial/hold-1-1", Digest::of("layer").str() + "\n");
  reopen_after(std::chrono::hours(2), true);
  EXPECT_TRUE(store().blob_size(Digest::of("layer")));
  reopen_after(kPartialAgeMax + std::chrono::hours(1), true);
  EXPECT_FALSE(store().blob_size(Digest::of("layer")));
  EXPECT_FALSE(files().exists(root() + "/partial/hold-1-1"));
}

TEST_F(Pruning, HoldsUnderAnotherNameThanACrashedProcessOfTheSameNumber) {
  open();
  put("layer");
  const std::string left = fmt::format("partial/hold-{}-1-1", files().unique_suffix());
  write_raw(left, Digest::of("layer").str() + "\n");
  open();
  auto held = wait(store().hold({Digest::of("other")}));
  ASSERT_TRUE(held) << held.error().what;
  held->reset();
  EXPECT_TRUE(files().exists(root() + "/" + left));
}

TEST_F(Pruning, FreesADeletedModelThoughAPullOfItOnceCrashed) {
  open();
  put_model("a", {"layer"});
  write_raw("partial/hold-1-1", Digest::of("layer").str() + "\n");
  ASSERT_TRUE(wait(store().remove(name("a"))));
  EXPECT_FALSE(store().blob_size(Digest::of("layer")));
}

TEST_F(Pruning, ClearsLeftoversAwayWhileItRuns) {
  open();
  put("layer");
  const std::string aside = Digest::of("x").file_name() + ".rotten";
  const std::string of_blob = Digest::of("layer").file_name() + ".chunks";
  const std::string of_none = Digest::of("y").file_name() + ".chunks";
  for (const auto& name : {aside, of_blob, of_none}) write_raw("partial/" + name, "x");
  auto held = wait(store().hold({Digest::of("layer")})).value();
  reopen_after({}, true);
  EXPECT_EQ(files().list(root() + "/partial")->size(), 5U);
  pass(kPartialAgeMax + std::chrono::hours(1));
  ASSERT_TRUE(wait(store().remove_leftovers()));
  EXPECT_THAT(files().list(root() + "/partial").value(),
              testing::UnorderedElementsAre("lock", of_blob, testing::StartsWith("hold-")));
}

TEST_F(Pruning, SaysOnceThatAManifestIsBad) {
  open();
  size_t said = 0;
  set_log_sink([&said](LogLevel, std::string_view line) {
    if (line.contains("left out of the list")) said++;
  });
  write_raw("manifests/registry.ollama.ai/library/bad/latest", "{");
  for (int i = 0; i < 3; i++) EXPECT_TRUE(names().empty());
  EXPECT_EQ(said, 1U);
  write_raw("manifests/registry.ollama.ai/library/worse/latest", "");
  for (int i = 0; i < 3; i++) EXPECT_TRUE(names().empty());
  set_log_sink({});
  EXPECT_EQ(said, 2U);
}

TEST_F(Pruning, RemovesBlobsThatNothingNamesWhileItRuns) {
  for (const bool prune : {false, true}) {
    open(prune);
    put_model("a", {"named"});
    const auto held = wait(store().hold({put("held"), put("announced")})).value();
    put("given up");
    pass(kUnreferencedAgeRunning - std::chrono::hours(1));
    ASSERT_TRUE(wait(store().remove_leftovers()));
    EXPECT_TRUE(store().blob_size(Digest::of("given up"))) << "somebody may still upload";
    pass(kUnreferencedAgeRunning + std::chrono::hours(1));
    ASSERT_TRUE(wait(store().remove_leftovers()));
    EXPECT_EQ(store().blob_size(Digest::of("given up")).has_value(), !prune);
    EXPECT_TRUE(store().blob_size(Digest::of("named")));
    EXPECT_TRUE(store().blob_size(Digest::of("held")));
    pass({});
  }
}

// As `rsync -a` brings it: with the time of the file that it is a copy of.
TEST_F(Pruning, KeepsABlobThatWasCopiedInAMomentAgoHoweverOldItsBytesAre) {
  open();
  const Digest copied = put("copied");
  const auto old = std::filesystem::file_time_type::clock::now() - 2 * kUnreferencedAgeRunning;
  std::filesystem::last_write_time(store().blob_path(copied), old);
  ASSERT_TRUE(wait(store().remove_leftovers()));
  reopen_after(std::chrono::minutes(30), true);
  EXPECT_TRUE(store().blob_size(copied)) << "its manifest comes last";
  pass(kUnreferencedAgeRunning + std::chrono::hours(1));
  ASSERT_TRUE(wait(store().remove_leftovers()));
  EXPECT_FALSE(store().blob_size(copied));
}

TEST_F(Pruning, MakesAnOldUploadYoungThatSomebodyIsAboutToName) {
  open();
  const std::string path = store().blob_path(put("upload"));
  std::filesystem::last_write_time(
      path, std::filesystem::file_time_type::clock::now() - 2 * kUnreferencedAgeRunning);
  wait_for(store().keep_upload(Digest::of("upload")));
  EXPECT_LT(world().clock.wall_now() - files().info(path)->modified, std::chrono::minutes(1));
  EXPECT_EQ(store().read_blob(Digest::of("upload"), 100).value(), "upload");
}

TEST_F(Pruning, ClearsAwayWhatACrashLeft) {
  open();
  write_raw("partial/write-1-1", "half a blob");
  write_raw("partial/sha256-" + Digest::of("y").hex(), "a download to go on with");
  auto writer = wait(store().write_blob()).value();
  ASSERT_TRUE(wait(writer->write("live")));
  auto other = wait(Store::open(world(), root(), true)).value();
  EXPECT_FALSE(files().exists(root() + "/partial/write-1-1"));
  EXPECT_TRUE(files().exists(root() + "/partial/sha256-" + Digest::of("y").hex()));
  EXPECT_TRUE(wait(writer->finish(Digest::of("live"))));  // A running writer is left alone.
}

}  // namespace
}  // namespace om::store
