#include "transfer/testing/registry.h"

namespace om::transfer {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::random_bytes;
using testing::TransferWorld;

constexpr uint64_t kMega = 1 << 20;

std::string pulling(const std::string& layer) {
  return "pulling " + Digest::of(layer).hex().substr(0, 12);
}

class Pull : public TransferWorld {
 protected:
  void expect_whole(const std::string& layer) {
    const auto data = store_->read_blob(Digest::of(layer), layer.size());
    ASSERT_TRUE(data) << data.error().what;
    EXPECT_TRUE(*data == layer);
  }
  io::Task<void> pull_into(std::string_view model, Result<void>& result) {
    result = co_await transfer_->pull({name(model), true}, sink(), {});
  }
  // Frees the simulated disk.
  void forget_folder() {
    ASSERT_TRUE(world_.files.remove_all(folder_));
    for (const char* part : {"/blobs", "/partial"}) {
      ASSERT_TRUE(world_.files.sync_directory(folder_ + part));
    }
  }
  // What a failed pull may leave: nothing that has a name.
  void expect_nothing_visible() {
    EXPECT_TRUE(wait(store_->list()).value().empty());
    EXPECT_THAT(world_.files.list(folder_ + "/blobs").value(), ElementsAre());
  }
};

TEST_F(Pull, BringsAModelAndSaysWhatItDoes) {
  start();
  const std::string large = random_bytes(3 * kMega + 5, 1), small = "license text";
  const std::string manifest = registry_.add_model("m", {large, small});
  const auto done = pull("m");
  ASSERT_TRUE(done) << done.error().what;
  expect_whole(large);
  EXPECT_EQ(store_->read_manifest(name("m")).value(), manifest);
  const std::string config = "{\"model_format\":\"gguf\",\"for\":\"m\"}";
  EXPECT_THAT(statuses,
              ElementsAre("pulling manifest", pulling(large), pulling(small), pulling(config),
                          "verifying sha256 digest", "writing manifest", "success"));
  EXPECT_EQ(progress[1].total, large.size());
  EXPECT_EQ(progress[1].digest, Digest::of(large));
}

TEST_F(Pull, FetchesOnlyWhatIsMissing) {
  start();
  const std::string shared = random_bytes(2 * kMega, 1);
  registry_.add_model("a", {shared});
  registry_.add_model("b", {shared, "more"});
  ASSERT_TRUE(pull("a"));
  const uint64_t before = registry_.blob_bytes_sent;
  ASSERT_TRUE(pull("b"));
  EXPECT_LT(registry_.blob_bytes_sent - before, 1000U);
}

TEST_F(Pull, FetchesARottenSmallFileAgain) {
  start();
  const std::string large = random_bytes(2 * kMega, 1), small = "{{ .Prompt }}";
  registry_.add_model("a", {large, small});
  registry_.add_model("b", {large, small});
  ASSERT_TRUE(pull("a"));
  sim_.files().rot(store_->blob_path(Digest::of(small)), 3);
  ASSERT_TRUE(pull("b"));
  expect_whole(small);
  EXPECT_EQ(registry_.count("GET /v2/test/b/blobs/" + Digest::of(large).str()), 0U);
  EXPECT_EQ(registry_.count("GET /v2/test/b/blobs/" + Digest::of(small).str()), 1U);
}

TEST_F(Pull, FetchesARottenSmallFileForTwoAtOnce) {
  start();
  const std::string small = "{{ .Prompt }}";
  for (const char* model : {"a", "b", "c"}) registry_.add_model(model, {model, small});
  ASSERT_TRUE(pull("a"));
  sim_.files().rot(store_->blob_path(Digest::of(small)), 3);
  std::vector<Result<void>> results(2);
  io::TaskGroup group(world_.executor, world_.clock);
  group.spawn(pull_into("b", results[0]));
  group.spawn(pull_into("c", results[1]));
  sim_.run(group.wait());
  for (const auto& result : results) EXPECT_TRUE(result) << result.error().what;
  expect_whole(small);
}

TEST_F(Pull, RemovesLayersThatANewerVersionNoLongerNames) {
  start();
  registry_.add_model("m", {"old layer"});
  ASSERT_TRUE(pull("m"));
  registry_.add_model("m", {"new layer"});
  statuses.clear();
  ASSERT_TRUE(pull("m"));
  EXPECT_FALSE(store_->blob_size(Digest::of("old layer")));
  EXPECT_EQ(statuses[statuses.size() - 2], "removing unused layers");
}

TEST_F(Pull, KeepsOldLayersOnDemand) {
  options_.prune = false;
  start();
  registry_.add_model("m", {"old layer"});
  ASSERT_TRUE(pull("m"));
  registry_.add_model("m", {"new layer"});
  ASSERT_TRUE(pull("m"));
  EXPECT_TRUE(store_->blob_size(Digest::of("old layer")));
  EXPECT_EQ(statuses.back(), "success");
}

TEST_F(Pull, SaysThatTheModelDoesNotExist) {
  start();
  EXPECT_EQ(pull("none").error().what, "pull model manifest: file does not exist");
  EXPECT_EQ(pull("none").error().code, Errc::not_found);
}

TEST_F(Pull, RefusesHttpUnlessInsecureIsAsked) {
  start();
  auto plain = name("m");
  plain.scheme = "http";
  const auto done = wait(transfer_->pull({plain, false}, sink(), {}));
  EXPECT_THAT(done.error().what, HasSubstr("insecure protocol http"));
}

TEST_F(Pull, WorksWithServersThatKnowNoRanges) {
  start();
  registry_.faults.ranges = false;
  const std::string large = random_bytes(5 * kMega + 1, 2);
  registry_.add_model("m", {large});
  ASSERT_TRUE(pull("m"));
  expect_whole(large);
  EXPECT_EQ(registry_.count("GET /v2/test/m/blobs/" + Digest::of(large).str()), 1U);
}

TEST_F(Pull, FetchesRangesInParallelFromASignedHostThatNeverSeesTheLogin) {
  start();
  registry_.faults.redirect = registry_.faults.auth = true;
  const std::string large = random_bytes(130 * kMega, 3);
  registry_.add_model("m", {large});
  const auto done = pull("m");
  ASSERT_TRUE(done) << done.error().what;
  EXPECT_TRUE(store_->blob_size(Digest::of(large)));
  EXPECT_EQ(registry_.count("SIGNED GET /signed/" + Digest::of(large).str()), 3U);
  EXPECT_FALSE(registry_.signed_host_saw_login);
  EXPECT_EQ(registry_.blob_bytes_sent, large.size() + 33);  // And the config.
}

TEST_F(Pull, ShowsItsKeyWhenTheRegistryAsks) {
  start();
  registry_.faults.auth = true;
  registry_.add_model("m", {"layer"});
  ASSERT_TRUE(pull("m"));
  EXPECT_EQ(registry_.count("GET /token"), 1U);
  EXPECT_TRUE(world_.files.exists("/home/id_ed25519"));
  EXPECT_TRUE(world_.files.exists("/home/id_ed25519.pub"));
}

TEST_F(Pull, SignsNothingForAnotherHost) {
  start();
  registry_.faults.auth = true;
  registry_.faults.realm_host = "evil.example";
  registry_.add_model("m", {"layer"});
  const auto done = pull("m");
  EXPECT_EQ(done.error().code, Errc::forbidden);
  EXPECT_THAT(done.error().what, HasSubstr("evil.example"));
  EXPECT_THAT(done.error().what, HasSubstr("authentication required")) << "its own words";
}

TEST_F(Pull, KeepsNothingOfWrongBytes) {
  start();
  registry_.faults.wrong_bytes = true;
  registry_.add_model("m", {random_bytes(kMega + 1, 4)});
  const auto done = pull("m");
  EXPECT_EQ(done.error().code, Errc::corrupt);
  EXPECT_THAT(done.error().what, HasSubstr("digest mismatch, file must be downloaded again"));
  expect_nothing_visible();
  registry_.faults.wrong_bytes = false;
  EXPECT_TRUE(pull("m"));
}

TEST_F(Pull, TakesNoMoreThanTheManifestSays) {
  start();
  registry_.faults.endless = true;
  const std::string layer = random_bytes(2 * kMega + 9, 5);
  registry_.add_model("m", {layer});
  ASSERT_TRUE(pull("m"));
  expect_whole(layer);
}

TEST_F(Pull, RefusesABlobOfAnotherSize) {
  start();
  registry_.faults.lie_about_size = true;
  registry_.add_model("m", {random_bytes(kMega, 6)});
  const auto done = pull("m");
  EXPECT_EQ(done.error().code, Errc::corrupt);
  expect_nothing_visible();
}

TEST_F(Pull, GoesOnAfterBrokenConnectionsWithoutFetchingTwice) {
  start();
  registry_.faults.cut_after = 3 * kMega / 2;
  registry_.faults.cuts_left = 3;
  const std::string layer = random_bytes(6 * kMega, 7);
  registry_.add_model("m", {layer});
  const auto done = pull("m");
  ASSERT_TRUE(done) << done.error().what;
  expect_whole(layer);
  EXPECT_LE(registry_.blob_bytes_sent, layer.size() + 4 * kMega);
}

TEST_F(Pull, GoesOnWhenTheRegistrysNameIsDeniedInTheMidst) {
  start();
  registry_.faults.cut_after = 3 * kMega / 2;
  registry_.faults.cuts_left = 3;
  registry_.faults.bytes_per_second = 2 * kMega;
  const std::string layer = random_bytes(6 * kMega, 12);
  registry_.add_model("m", {layer});
  bool denied = false;
  const ProgressSink deny = [&](Progress line) {
    if (line.completed > 0 && !std::exchange(denied, true)) {
      sim_.network().denied["127.0.0.1"] = 2;
    }
    return note(std::move(line));
  };
  const auto done = wait(transfer_->pull({name("m"), true}, deny, {}));
  ASSERT_TRUE(done) << done.error().what;
  EXPECT_TRUE(denied);
  EXPECT_EQ(sim_.network().denied["127.0.0.1"], 0);
  expect_whole(layer);
}

TEST_F(Pull, SaysThatThereIsNoSuchRegistry) {
  start();
  sim_.network().denied["127.0.0.1"] = 1;
  EXPECT_EQ(pull("m").error().code, Errc::not_found);
}

TEST_F(Pull, EndsWithAClearErrorWhenNothingWholeEverComes) {
  start();
  registry_.faults.cut_after = kMega / 2;
  registry_.add_model("m", {random_bytes(3 * kMega, 8)});
  const auto done = pull("m");
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Errc::unavailable);
  expect_nothing_visible();
}

TEST_F(Pull, RestartsARangeThatFallsSilent) {
  start();
  registry_.faults.stalls_left = 1;
  const std::string layer = random_bytes(2 * kMega, 9);
  registry_.add_model("m", {layer});
  const auto before = world_.clock.now();
  const auto done = pull("m");
  ASSERT_TRUE(done) << done.error().what;
  EXPECT_LT(world_.clock.now() - before, seconds(30));
  expect_whole(layer);
}

TEST_F(Pull, GivesUpThirtySecondsAfterTheLastProgress) {
  start();
  registry_.faults.stalls_left = 1'000'000;
  registry_.add_model("m", {random_bytes(2 * kMega, 10)});
  const auto before = world_.clock.now();
  const auto done = pull("m");
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Errc::unavailable);
  EXPECT_THAT(done.error().what, HasSubstr("no data from 127.0.0.1"));
  // Each try brings the same piece before it falls silent: that was progress once.
  EXPECT_LT(world_.clock.now() - before, seconds(35));
  expect_nothing_visible();
}

TEST_F(Pull, TriesAgainWhenTheRegistryIsBusy) {
  start();
  registry_.faults.refusals_left = 3;
  registry_.add_model("m", {random_bytes(kMega, 11)});
  const auto done = pull("m");
  EXPECT_TRUE(done) << done.error().what;
}

TEST_F(Pull, SaysHowMuchSpaceIsNeededAndFree) {
  start();
  registry_.add_model("m", {random_bytes(4 * kMega, 12)});
  sim_.files().set_space(kMega);
  const auto done = pull("m");
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Errc::io_failed);
  EXPECT_THAT(done.error().what, HasSubstr("not enough disk space"));
  EXPECT_THAT(done.error().what, HasSubstr("4194304 bytes"));
  expect_nothing_visible();
  sim_.files().set_space(uint64_t{1} << 30);
  EXPECT_TRUE(pull("m"));
}

// Two at once.
io::Task<void> pull_into(Transfer& transfer, RegistryRequest request, ProgressSink sink,
                         io::Call call, Result<void>& result) {
  result = co_await transfer.pull(std::move(request), std::move(sink), std::move(call));
}

io::Task<void> pull_both(io::World& world, Transfer& transfer, RegistryRequest request,
                         ProgressSink sink, std::array<Result<void>, 2>& results,
                         std::array<io::CancelSource, 2>& cancels, io::Duration cancel_after,
                         bool cancel_second) {
  io::TaskGroup group(world.executor, world.clock);
  for (size_t i = 0; i < 2; i++) {
    io::Call call{io::kNever, cancels[i].token()};
    group.spawn(pull_into(transfer, request, sink, std::move(call), results[i]));
  }
  (void)co_await world.clock.sleep_for(cancel_after);
  cancels[0].cancel();
  if (cancel_second) cancels[1].cancel();
  co_await group.wait();
}

TEST_F(Pull, SharesOneDownloadAndOutlivesTheFirstWhoLeaves) {
  start();
  const std::string layer = random_bytes(24 * kMega, 13);
  registry_.add_model("m", {layer});
  std::array<Result<void>, 2> results;
  std::array<io::CancelSource, 2> cancels;
  sim_.run(pull_both(world_, *transfer_, {name("m"), true}, sink(), results, cancels,
                     std::chrono::milliseconds(30), false));
  EXPECT_EQ(results[0].error().code, Errc::cancelled);
  EXPECT_TRUE(results[1]) << results[1].error().what;
  EXPECT_LT(registry_.blob_bytes_sent, layer.size() + kMega);
  expect_whole(layer);
}

TEST_F(Pull, IsCancelledWithTheLastWaiterAndKeepsWhatCame) {
  start();
  const std::string layer = random_bytes(24 * kMega, 14);
  registry_.add_model("m", {layer});
  std::array<Result<void>, 2> results;
  std::array<io::CancelSource, 2> cancels;
  sim_.run(pull_both(world_, *transfer_, {name("m"), true}, sink(), results, cancels,
                     std::chrono::milliseconds(30), true));
  EXPECT_EQ(results[1].error().code, Errc::cancelled);
  expect_nothing_visible();
  const uint64_t before = registry_.blob_bytes_sent;
  EXPECT_LT(before, layer.size());
  ASSERT_TRUE(pull("m"));
  EXPECT_LT(registry_.blob_bytes_sent, layer.size() + 7 * kMega);
  expect_whole(layer);
}

// Of a node that runs for months: what was given up is named by nothing.
TEST_F(Pull, WhatIsLeftOfThemGoesWhileTheNodeRuns) {
  start();
  registry_.add_model("m", {"named"});
  ASSERT_TRUE(pull("m"));
  const Digest left = wait(store_->put_blob("a whole layer of a pull that was given up")).value();
  EXPECT_TRUE(wait(world_.clock.sleep_for(std::chrono::hours(23))));
  EXPECT_TRUE(store_->blob_size(left));
  for (int i = 0; i < 2; i++) EXPECT_TRUE(wait(world_.clock.sleep_for(std::chrono::hours(13))));
  EXPECT_FALSE(store_->blob_size(left));
  expect_whole("named");
}

// reliability 13: the power goes out at each call to the file system in turn.
TEST_F(Pull, SurvivesACrashAtEveryFilesystemCall) {
  const std::string layer = random_bytes(5 * kMega, 15);
  const std::string manifest = registry_.add_model("m", {layer, "small"});
  int crashes = 0;
  for (const uint64_t draw : {0, 1, 2}) {
    bool completed = false;
    for (uint64_t point = 1; !completed; point++, crashes++) {
      folder_ = fmt::format("/models-{}-{}", draw, point);
      restart();
      registry_.blob_bytes_sent = 0;
      sim_.files().fail_from_call(point);
      completed = pull("m").has_value();
      restart(draw);
      for (const std::string& blob : world_.files.list(folder_ + "/blobs").value()) {
        const auto verified = wait(store_->verify(Digest::parse(blob).value()));
        ASSERT_TRUE(verified) << "draw " << draw << ", call " << point << ": "
                              << verified.error().what;
      }
      ASSERT_EQ(wait(store_->list()).value().size(),
                completed ? 1U : wait(store_->list()).value().size());
      const auto again = pull("m");
      ASSERT_TRUE(again) << "draw " << draw << ", call " << point << ": " << again.error().what;
      expect_whole(layer);
      ASSERT_EQ(store_->read_manifest(name("m")).value(), manifest);
      ASSERT_LE(registry_.blob_bytes_sent, layer.size() + 16 * kMega)
          << "draw " << draw << ", call " << point;
      forget_folder();
    }
  }
  EXPECT_GT(crashes, 90);
}

TEST_F(Pull, FetchesAtMostSixteenMegabytesTwiceAfterAKill) {
  const std::string layer = random_bytes(40 * kMega, 16);
  registry_.add_model("m", {layer});
  for (const uint64_t point : {25, 50}) {
    folder_ = fmt::format("/models-{}", point);
    restart();
    registry_.blob_bytes_sent = 0;
    sim_.files().fail_from_call(point);
    ASSERT_FALSE(pull("m"));
    restart();
    ASSERT_TRUE(pull("m"));
    EXPECT_LE(registry_.blob_bytes_sent, layer.size() + 16 * kMega);
  }
}

}  // namespace
}  // namespace om::transfer
