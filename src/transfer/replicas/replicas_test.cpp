#include "transfer/replicas/replicas.h"

#include "base/log.h"
#include "store/testing/failing_files.h"
#include "transfer/metrics.h"
#include "transfer/replicas/health.h"
#include "transfer/replicas/metrics.h"
#include "transfer/scrub.h"
#include "transfer/testing/replicated.h"

namespace om::transfer {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using testing::random_bytes;
using testing::Replicated;

constexpr uint64_t kMegabyte = 1 << 20;

TEST_F(Replicated, MakesASecondCopyOfAModelThatAppears) {
  make_cluster(4);
  const std::string bytes = put_model(0, "m", random_bytes(100'000, 1));
  pass(seconds(20));
  const std::string there = holders("m");
  ASSERT_EQ(there.size(), 2U) << there;
  EXPECT_EQ(there[0], 'a');
  EXPECT_EQ(node(index_of(there[1])).store->read_manifest(name("m")).value(), bytes);
  EXPECT_EQ(state_of(replicas(3).health().at(0)), "ok");
}

TEST_F(Replicated, CountsNothingAnyMoreWhenItHasEnded) {
  make_cluster(1);
  put_model(0, "m", random_bytes(1000, 28));
  pass(seconds(20));
  EXPECT_EQ(models_catalogued.value(), 1);
  stop_keeper(0);
  EXPECT_EQ(models_catalogued.value(), 0);
}

// As of a model in a format that this version cannot read.
io::Task<Result<std::string>> find_no_format(model::Name, std::string) {
  co_return fail(Errc::corrupt, "not a GGUF file");
}

TEST_F(Replicated, KeepsAModelThatCannotBeDescribed) {
  make_cluster(2);
  catalogue(0).describe_with(find_no_format);
  const std::string bytes = put_model(0, "m", random_bytes(1000, 26));
  pass(seconds(20));
  EXPECT_EQ(holders("m"), "ab");
  const auto put = wait(catalogue(0).put(name("n"), bytes, {}));
  EXPECT_TRUE(put) << put.error().what;
}

io::Task<Result<std::string>> fail_to_read(model::Name, std::string) {
  co_return fail(Errc::io_failed, "Input/output error");
}

TEST_F(Replicated, SaysOnceThatAModelIsNotPublishedAndTriesOn) {
  make_cluster(1);
  size_t said = 0;
  set_log_sink([&said](LogLevel, std::string_view line) {
    if (line.find("model not published") != line.npos) said++;
  });
  catalogue(0).describe_with(fail_to_read);
  put_model(0, "m", random_bytes(1000, 27));
  pass(minutes(1));
  EXPECT_EQ(said, 1U);
  catalogue(0).describe_with({});
  pass(seconds(20));
  set_log_sink({});
  EXPECT_TRUE(catalogue(0).find(name("m")));
}

TEST_F(Replicated, RestoresTheCopiesOfALostNodeAndRemovesTheSurplusWhenItReturns) {
  make_cluster(4);
  put_model(0, "m", random_bytes(100'000, 2));
  pass(seconds(20));
  kill(0);
  pass(seconds(30));
  EXPECT_EQ(holders("m").size(), 1U);  // It may come back.
  pass(seconds(60));
  EXPECT_EQ(holders("m").size(), 2U);
  revive(0);
  pass(seconds(30));
  EXPECT_EQ(holders("m").size(), 3U);
  pass(minutes(7));
  EXPECT_EQ(holders("m").size(), 2U);
}

TEST_F(Replicated, RemovesAModelEverywhereAlsoWhereTheNodeWasAway) {
  make_cluster(3);
  put_model(0, "m", random_bytes(1000, 3));
  pass(seconds(20));
  const std::string there = holders("m");
  ASSERT_EQ(there.size(), 2U);
  kill(index_of(there[1]));
  ASSERT_TRUE(remove(0, "m"));
  EXPECT_EQ(holders("m"), "");
  pass(seconds(20));
  revive(index_of(there[1]));
  pass(seconds(20));
  EXPECT_EQ(holders("m"), "");
  for (const auto& each : nodes_) EXPECT_TRUE(each->store->blobs().value().empty());
}

TEST_F(Replicated, RemembersWhatWasRemovedForAsLongAsANodeIsAway) {
  make_cluster(3);
  put_model(0, "m", random_bytes(1000, 29));
  pass(seconds(20));
  const size_t away = index_of(holders("m").at(1));
  kill(away);
  ASSERT_TRUE(remove(0, "m"));
  auto& tombstone = facts_.entries.at("/removed/" + Catalogue::key_of(name("m")));
  auto parsed = cluster::read_tombstone(tombstone.value).value();
  parsed.at -= std::chrono::seconds(std::chrono::days(100)).count();
  tombstone.value = cluster::write_tombstone(parsed);
  pass(minutes(15));
  revive(away);
  pass(seconds(20));
  EXPECT_EQ(holders("m"), "");
  EXPECT_FALSE(catalogue(0).find(name("m")));
  pass(minutes(15));
  EXPECT_FALSE(facts_.entries.contains("/removed/" + Catalogue::key_of(name("m"))));
}

TEST_F(Replicated, BringsARecreatedModelToAllHolders) {
  make_cluster(3);
  put_model(0, "m", random_bytes(1000, 4));
  pass(seconds(20));
  ASSERT_TRUE(remove(0, "m"));
  pass(seconds(10));
  const std::string bytes = put_model(1, "m", random_bytes(1000, 5));
  pass(seconds(20));
  const std::string there = holders("m");
  ASSERT_EQ(there.size(), 2U);
  for (const char holder : there) {
    EXPECT_EQ(node(index_of(holder)).store->read_manifest(name("m")).value(), bytes);
  }
}

TEST_F(Replicated, ReplacesAnOldVersionAndLetsItsBlobsGo) {
  make_cluster(2);
  const std::string old_layer = random_bytes(1000, 6);
  put_model(0, "m", old_layer);
  pass(seconds(20));
  EXPECT_EQ(holders("m"), "ab");
  put(node(0), "new layer");
  model::Manifest manifest;
  manifest.config = {std::string(model::kConfigMediaType), Digest::of("{}"), 2, ""};
  manifest.layers = {
      {std::string(model::kLayerMediaPrefix) + "model", Digest::of("new layer"), 9, ""}};
  ASSERT_TRUE(wait(catalogue(0).put(name("m"), manifest.to_json(), {})));
  pass(seconds(20));
  EXPECT_EQ(holders("m"), "ab");
  for (size_t i = 0; i < 2; i++) {
    EXPECT_EQ(node(i).store->read_manifest(name("m")).value(), manifest.to_json());
    EXPECT_FALSE(node(i).store->blob_size(Digest::of(old_layer)));
  }
}

TEST_F(Replicated, FollowsThePolicyOfAModel) {
  make_cluster(4);
  Policy policy;
  policy.factor = 1;
  policy.pinned = {"c", "d"};
  ASSERT_TRUE(wait(catalogue(0).set_policy(name("m"), {policy}, {})));
  put_model(0, "m", random_bytes(1000, 7));
  pass(seconds(20));
  EXPECT_EQ(holders("m"), "acd");
  pass(minutes(7));
  EXPECT_EQ(holders("m"), "cd");
  policy.pinned = {};
  policy.factor = 4;
  ASSERT_TRUE(wait(catalogue(0).set_policy(name("m"), {policy}, {})));
  pass(seconds(30));
  EXPECT_EQ(holders("m"), "abcd");
}

TEST_F(Replicated, FollowsTheDefaultPolicyWhereAModelHasNoneOfItsOwn) {
  make_cluster(4);
  Policy one, all;
  one.factor = 1;
  all.factor = 4;
  ASSERT_TRUE(wait(catalogue(0).set_policy(std::nullopt, {all}, {})));
  ASSERT_TRUE(wait(catalogue(0).set_policy(name("own"), {one}, {})));
  put_model(0, "m", random_bytes(1000, 20));
  put_model(1, "own", random_bytes(1000, 21));
  pass(seconds(30));
  EXPECT_EQ(holders("m"), "abcd");
  EXPECT_EQ(holders("own"), "b");
  const std::string told = health_json(replicas(2).health(), *replicas(2).state(), view());
  EXPECT_NE(told.find(R"("default_policy":{"factor":4)"), std::string::npos) << told;
  ASSERT_TRUE(wait(catalogue(2).clear_policy(std::nullopt, {})));
  pass(minutes(7));
  EXPECT_EQ(holders("m").size(), 2U);
}

TEST_F(Replicated, ADeletedModelThatIsMadeAgainWithTheSameBytesReachesAllHolders) {
  make_cluster(3);
  const std::string layer = random_bytes(1000, 22);
  const std::string bytes = put_model(0, "m", layer);
  pass(seconds(20));
  ASSERT_TRUE(remove(1, "m"));
  pass(seconds(10));
  ASSERT_EQ(holders("m"), "");
  // As create and pull do it: the catalogue first, so that the tombstone is gone.
  put(node(2), layer);
  put(node(2), "{}");
  ASSERT_TRUE(wait(catalogue(2).put(name("m"), bytes, {})));
  ASSERT_TRUE(wait(node(2).store->put_manifest(name("m"), bytes)));
  pass(seconds(20));
  EXPECT_EQ(holders("m").size(), 2U);
}

io::Task<void> bring_into(Replicas& replicas, model::Name name, Digest manifest,
                          const std::string& layer, Result<void>& result, io::Call call) {
  Replicas::Files files{{Digest::of(layer), layer.size()}};
  result = co_await replicas.bring(std::move(name), manifest, std::move(files), std::move(call));
}

TEST_F(Replicated, BringsAModelToANodeThatIsToRunItAndTellsHowFarItIs) {
  make_cluster(2);
  Policy one;
  one.factor = 1;
  ASSERT_TRUE(wait(catalogue(0).set_policy(name("m"), {one}, {})));
  const std::string layer = random_bytes(4 * kMegabyte, 23);
  const std::string bytes = put_model(0, "m", layer);
  node(0).slow_down = kMegabyte;
  pass(seconds(20));
  ASSERT_EQ(holders("m"), "a");
  Result<void> result = fail(Errc::internal, "not yet");
  io::TaskGroup group(world_.executor, world_.clock);
  group.spawn(bring_into(replicas(1), name("m"), Digest::of(bytes), layer, result, {}));
  pass(seconds(2));
  const auto under_way = replicas(1).progress();
  ASSERT_EQ(under_way.size(), 1U);
  EXPECT_EQ(under_way[0].model, Catalogue::key_of(name("m")));
  EXPECT_EQ(under_way[0].total_bytes, layer.size() + 2);
  EXPECT_GT(under_way[0].done_bytes, 0U);
  EXPECT_LT(under_way[0].done_bytes, layer.size());
  sim_.run(group.wait());
  EXPECT_TRUE(result) << result.error().what;
  EXPECT_TRUE(replicas(1).progress().empty());
  EXPECT_EQ(holders("m"), "ab");
  pass(minutes(7));
  EXPECT_EQ(holders("m").size(), 1U);  // More than its policy wants.
}

// A request can come before this node has heard what was made elsewhere a moment ago.
TEST_F(Replicated, TellsHowFarAModelIsThatItHasNotHeardOf) {
  make_cluster(2);
  const std::string layer = random_bytes(4 * kMegabyte, 25);
  put(node(0), layer);
  node(0).slow_down = kMegabyte;
  Result<void> result = fail(Errc::internal, "not yet");
  io::TaskGroup group(world_.executor, world_.clock);
  group.spawn(bring_into(replicas(1), name("m"), Digest::of("unheard"), layer, result, {}));
  pass(seconds(2));
  const auto under_way = replicas(1).progress();
  ASSERT_EQ(under_way.size(), 1U);
  EXPECT_EQ(under_way[0].model, Catalogue::key_of(name("m")));
  EXPECT_EQ(under_way[0].total_bytes, layer.size());
  EXPECT_GT(under_way[0].done_bytes, 0U);
  sim_.run(group.wait());
  EXPECT_TRUE(result) << result.error().what;
  EXPECT_TRUE(replicas(1).progress().empty());
}

TEST_F(Replicated, ARequestWaitsForAModelNoLongerThanItsDeadline) {
  make_cluster(2);
  Policy one;
  one.factor = 1;
  ASSERT_TRUE(wait(catalogue(0).set_policy(name("m"), {one}, {})));
  const std::string layer = random_bytes(4 * kMegabyte, 24);
  const std::string bytes = put_model(0, "m", layer);
  node(0).slow_down = kMegabyte / 4;
  pass(seconds(20));
  Result<void> result;
  const auto begun = world_.clock.now();
  sim_.run(bring_into(replicas(1), name("m"), Digest::of(bytes), layer, result,
                      world_.clock.call_within(seconds(3))));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Errc::deadline_exceeded);
  EXPECT_LT(world_.clock.now() - begun, seconds(4));
}

TEST_F(Replicated, GrowsWhileAModelIsPopular) {
  make_cluster(4);
  put_model(0, "m", random_bytes(1000, 8));
  pass(seconds(20));
  ASSERT_TRUE(wait(catalogue(1).set_popularity(name("m"), "b", 2, {})));
  pass(seconds(20));
  EXPECT_EQ(holders("m").size(), 4U);
  pass(minutes(8));  // Nobody has said so again.
  EXPECT_EQ(holders("m").size(), 2U);
}

TEST_F(Replicated, NeverRemovesTheLastCopyUnlessForced) {
  make_cluster(1);
  put_model(0, "m", random_bytes(1000, 9));
  pass(seconds(20));
  const auto refused = wait(replicas(0).remove_copy(name("m"), false, {}));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::forbidden);
  EXPECT_EQ(holders("m"), "a");
  EXPECT_TRUE(wait(replicas(0).remove_copy(name("m"), true, {})));
  EXPECT_EQ(holders("m"), "");
}

io::Task<void> remove_into(Replicas& replicas, model::Name name, Result<void>& result) {
  result = co_await replicas.remove_copy(std::move(name), false, {});
}

TEST_F(Replicated, TwoNodesThatGiveUpTheirCopiesAtOnceKeepOne) {
  make_cluster(2);
  put_model(0, "m", random_bytes(1000, 10));
  pass(seconds(20));
  ASSERT_EQ(holders("m"), "ab");
  std::array<Result<void>, 2> results;
  io::TaskGroup group(world_.executor, world_.clock);
  for (size_t i = 0; i < 2; i++) group.spawn(remove_into(replicas(i), name("m"), results[i]));
  sim_.run(group.wait());
  EXPECT_NE(results[0].has_value(), results[1].has_value());
  EXPECT_EQ(holders("m").size(), 1U);
}

TEST_F(Replicated, ReportsAModelWhoseEveryCopyIsOutOfReach) {
  make_cluster(3);
  Policy policy;
  policy.factor = 1;
  ASSERT_TRUE(wait(catalogue(0).set_policy(name("m"), {policy}, {})));
  put_model(0, "m", random_bytes(1000, 11));
  pass(seconds(20));
  ASSERT_EQ(holders("m"), "a");
  kill(0);
  pass(minutes(3));
  ASSERT_EQ(replicas(1).health().size(), 1U);
  EXPECT_EQ(state_of(replicas(1).health()[0]), "unreachable");
  const std::string told = health_json(replicas(1).health(), *replicas(1).state(), view());
  EXPECT_NE(told.find("\"unreachable\":[\"a\"]"), std::string::npos) << told;
  revive(0);
  pass(seconds(20));
  EXPECT_FALSE(replicas(1).health()[0].is_in_danger());  // Perhaps another one got it meanwhile.
}

TEST_F(Replicated, ChangesNothingWithoutAMajority) {
  make_cluster(3);
  put_model(0, "m", random_bytes(1000, 12));
  pass(seconds(20));
  const std::string there = holders("m");
  for (auto& each : nodes_) each->metadata.reachable = false;
  const auto refused = remove(0, "m");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::not_leader);
  pass(minutes(20));
  EXPECT_EQ(holders("m"), there);
}

TEST_F(Replicated, MendsARottenBlobFromAnotherNode) {
  make_cluster(2);
  const std::string layer = random_bytes(3'000'000, 13);
  put_model(0, "m", layer);
  pass(seconds(20));
  ASSERT_EQ(holders("m"), "ab");
  {
    auto file = world_.files.open(node(1).store->blob_path(Digest::of(layer)),
                                  io::Filesystem::Open::read_write);
    ASSERT_TRUE((*file)->write_at(2'000'000, "rot"));
  }
  size_t told = 0;
  Scrubber scrubber(world_, *node(1).store, {}, [&](const Digest& digest) {
    EXPECT_EQ(digest, Digest::of(layer));
    told++;
  });
  EXPECT_EQ(wait(scrubber.pass({})).value(), 1U);
  EXPECT_EQ(told, 1U);
  EXPECT_EQ(holders("m"), "ab?");
  pass(seconds(20));
  EXPECT_EQ(holders("m"), "ab");
  EXPECT_TRUE(has(node(1), layer));
  EXPECT_EQ(wait(scrubber.pass({})).value(), 0U);
  sim_.run(scrubber.stop());
}

// As a bad sector: the file can be opened, and not be read to its end.
TEST_F(Replicated, MendsABlobThatCannotBeReadFromAnotherNode) {
  make_cluster(2);
  const std::string layer = random_bytes(3'000'000, 16);
  put_model(0, "m", layer);
  pass(seconds(20));
  ASSERT_EQ(holders("m"), "ab");
  store::testing::FailingFiles failing(world_.files);
  failing.fail_read = node(1).store->blob_path(Digest::of(layer));
  io::World bad_disk = failing.world_with(world_);
  size_t told = 0;
  Scrubber scrubber(bad_disk, *node(1).store, {}, [&](const Digest&) { told++; });
  EXPECT_EQ(wait(scrubber.pass({})).value(), 1U);
  EXPECT_EQ(told, 1U);
  EXPECT_EQ(holders("m"), "ab?");
  failing.fail_read.clear();  // It is written elsewhere on the disk.
  pass(seconds(20));
  EXPECT_EQ(holders("m"), "ab");
  EXPECT_TRUE(has(node(1), layer));
  sim_.run(scrubber.stop());
}

TEST_F(Replicated, ReadsADoubtedBlobSoonAndNotAgainAtOnce) {
  make_nodes(1);
  const std::string data = random_bytes(kMegabyte, 15);
  put(node(0), data);
  size_t rotten = 0;
  Scrubber scrubber(world_, *node(0).store, {.bytes_per_second = 10 * kMegabyte},
                    [&](const Digest&) { rotten++; });
  const auto read_by_a_doubt = [&] {
    const auto before = scrubbed_bytes.value();
    scrubber.suspect(Digest::of(data));
    pass(seconds(2));
    return scrubbed_bytes.value() - before;
  };
  EXPECT_EQ(read_by_a_doubt(), data.size());
  EXPECT_EQ(read_by_a_doubt(), 0U);
  {
    auto file = world_.files.open(node(0).store->blob_path(Digest::of(data)),
                                  io::Filesystem::Open::read_write);
    ASSERT_TRUE((*file)->write_at(500'000, "rot"));
  }
  pass(kDoubtRest);
  EXPECT_EQ(read_by_a_doubt(), 2 * data.size());
  EXPECT_EQ(rotten, 1U);
  sim_.run(scrubber.stop());
}

// reliability 15: every single flipped bit is found, and at no more than the rate that was set.
TEST_F(Replicated, ScrubFindsEveryFlippedBitSlowly) {
  make_nodes(1);
  const std::string data = random_bytes(kMegabyte, 14);
  Scrubber scrubber(world_, *node(0).store, {.bytes_per_second = 10 * kMegabyte},
                    [](const Digest&) {});
  uint64_t state = 1;
  for (int i = 0; i < 100; i++) {
    put(node(0), data);
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    const uint64_t at = (state >> 33) % data.size();
    const char flipped = static_cast<char>(data[at] ^ (1 << (state >> 61)));
    auto file = world_.files.open(node(0).store->blob_path(Digest::of(data)),
                                  io::Filesystem::Open::read_write);
    ASSERT_TRUE((*file)->write_at(at, std::string_view(&flipped, 1)));
    const auto before = world_.clock.now();
    ASSERT_EQ(wait(scrubber.pass({})).value(), 1U) << "bit at " << at;
    EXPECT_GE(world_.clock.now() - before, std::chrono::milliseconds(99));
  }
  sim_.run(scrubber.stop());
}

TEST_F(Replicated, ScrubGoesOnAfterAStartWhereItWas) {
  make_nodes(1);
  std::map<Digest, std::string> blobs;
  for (uint64_t seed = 1; seed <= 4; seed++) {
    const std::string data = random_bytes(kMegabyte, seed);
    blobs.emplace(Digest::of(data), data);
    put(node(0), data);
  }
  const auto hour = std::chrono::hours(1);
  // One blob in a quarter of an hour; a pass each day.
  const ScrubOptions options{.bytes_per_second = kMegabyte / 900, .state_file = "/scrub.json"};
  const auto read_for = [&](io::Duration time) {
    const uint64_t before = scrubbed_bytes.value();
    Scrubber scrubber(world_, *node(0).store, options, [](const Digest&) {});
    scrubber.start();
    pass(time);
    sim_.run(scrubber.stop());
    return (scrubbed_bytes.value() - before) / kMegabyte;
  };
  EXPECT_EQ(read_for(12 * hour), 0U);  // Nothing is due yet.
  EXPECT_EQ(read_for(12 * hour), 0U);
  EXPECT_EQ(read_for(std::chrono::minutes(45)), 2U);  // In spite of the start, it was due.
  EXPECT_EQ(read_for(23 * hour), 2U);                 // The rest, and not all four again.
  EXPECT_EQ(read_for(4 * hour), 4U);                  // A day after the end of the last one.
  ASSERT_TRUE(world_.files.write_file("/scrub.json", R"({"done":99999999999})"));
  EXPECT_EQ(read_for(14 * hour) + read_for(14 * hour), 4U);  // The clock was ahead then.
}

TEST_F(Replicated, ANodeThatDrainsKeepsItsCopysPlaceForAWhile) {
  make_cluster(3);
  put_model(0, "m", random_bytes(1000, 41));
  pass(seconds(20));
  const std::string there = holders("m");
  ASSERT_EQ(there.size(), 2U);
  node(index_of(there[1])).state = cluster::NodeState::draining;
  pass(seconds(50));
  EXPECT_EQ(holders("m"), there) << "it may be about to start anew";
  pass(seconds(30));
  EXPECT_EQ(holders("m"), "abc");
}

}  // namespace
}  // namespace om::transfer
