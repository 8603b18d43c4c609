#include "transfer/cluster_fetch.h"

#include "store/testing/failing_files.h"
#include "transfer/download.h"
#include "transfer/metrics.h"
#include "transfer/testing/cluster.h"

namespace om::transfer {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ClusterNode;
using ::testing::HasSubstr;
using testing::random_bytes;

constexpr uint64_t kMega = 1 << 20;

class Spread : public testing::ClusterWorld {
 protected:
  // Runs the fetches of all nodes, and `act` when `node` has so many bytes.
  std::vector<Result<void>> fetch_and(const std::vector<size_t>& which, const std::string& data,
                                      size_t watched, uint64_t bytes,
                                      std::function<io::Task<void>()> act) {
    std::vector<Result<void>> results(which.size());
    io::TaskGroup group(world_.executor, world_.clock);
    for (size_t i = 0; i < which.size(); i++) {
      group.spawn(fetch_into(node(which[i]), registry_for(node(which[i])), Digest::of(data),
                             data.size(), results[i]));
    }
    group.spawn(act_at(node(watched), Digest::of(data), bytes, std::move(act)));
    sim_.run(group.wait());
    return results;
  }
  io::Task<void> act_at(ClusterNode& node, Digest digest, uint64_t bytes,
                        std::function<io::Task<void>()> act) {
    while (node.present(digest) < bytes) {
      (void)co_await world_.clock.sleep_for(milliseconds(5));
      if (node.store->blob_size(digest)) break;
    }
    acted_ = !node.store->blob_size(digest);
    co_await act();
  }
  void expect_all(const std::vector<Result<void>>& results) {
    for (const auto& result : results) EXPECT_TRUE(result) << result.error().what;
  }

  io::Task<void> pause(io::Duration time) { (void)co_await world_.clock.sleep_for(time); }

  bool acted_ = false;
};

TEST_F(Spread, CopiesABlobFromTheNodeThatHasIt) {
  make_nodes(2);
  const std::string data = random_bytes(20 * kMega + 123, 1);
  put(node(0), data);
  expect_all(fetch_all({1}, data, false));
  EXPECT_TRUE(has(node(1), data));
  EXPECT_LE(node(0).bytes_asked, data.size() + 1000);
}

// A chunk takes it longer than anybody waits for a byte.
TEST_F(Spread, CopiesSlowlyFromANodeWhoseSendingIsCapped) {
  make_nodes(4);
  const std::string data = random_bytes(17 * kMega, 30);
  put(node(0), data);
  node(0).sending->set_rate(kMega / 2);
  for (size_t i = 1; i < 4; i++) node(i).sending->set_rate(kMega / 2);
  expect_all(fetch_all({1, 2, 3}, data, false));
  for (size_t i = 1; i < 4; i++) EXPECT_TRUE(has(node(i), data));
}

// What waits to be sent to it takes longer than the sender waits for a node that takes nothing.
TEST_F(Spread, CopiesSlowlyToANodeWhoseReceivingIsCapped) {
  make_nodes(2);
  const std::string data = random_bytes(kMega, 31);
  put(node(0), data);
  node(1).receiving->set_rate(32 << 10);
  expect_all(fetch_all({1}, data, false));
  EXPECT_TRUE(has(node(1), data));
  EXPECT_LE(node(0).bytes_asked, data.size() + 1000) << "it was taken for gone, and asked again";
}

TEST_F(Spread, DrawsEachByteFromTheRegistryOnceForManyNodes) {
  make_nodes(4);
  const std::string data = random_bytes(36 * kMega + 5, 2);
  registry_.add_model("m", {data});
  registry_.faults.bytes_per_second = 5 * kMega;
  expect_all(fetch_all({0, 1, 2, 3}, data));
  for (size_t i = 0; i < 4; i++) EXPECT_TRUE(has(node(i), data));
  EXPECT_EQ(registry_.blob_bytes_sent, data.size());
}

TEST_F(Spread, DrawsNothingAgainThatWasDrawnAMomentAgo) {
  make_nodes(3);
  const std::string data = random_bytes(kMega + 5, 2);
  registry_.add_model("m", {data});
  node(0).tells_blobs = false;  // Not yet.
  expect_all(fetch_all({0}, data));
  expect_all(fetch_all({1, 2}, data));
  EXPECT_TRUE(has(node(2), data));
  EXPECT_EQ(registry_.blob_bytes_sent, data.size());
}

TEST_F(Spread, DoesNotWaitForWhatItLeftItself) {
  make_nodes(2);
  const std::string data = random_bytes(kMega, 2);
  registry_.add_model("m", {data});
  expect_all(fetch_all({0}, data));
  ASSERT_TRUE(wait(node(0).store->remove_blob(Digest::of(data))));
  const auto before = world_.clock.now();
  expect_all(fetch_all({0}, data));
  EXPECT_LT(world_.clock.now() - before, seconds(1));
}

// As the keeper of copies, which knows a registry's name but not that it speaks no TLS.
TEST_F(Spread, LetsAnotherNodeDrawWhatItCannot) {
  make_nodes(2);
  const std::string data = random_bytes(kMega, 2);
  registry_.add_model("m", {data});
  const auto before = world_.clock.now();
  std::vector<Result<void>> results(2);
  io::TaskGroup group(world_.executor, world_.clock);
  group.spawn(fetch_into(node(0), registry_for(node(0), "m", false), Digest::of(data), data.size(),
                         results[0]));
  group.spawn(
      fetch_into(node(1), registry_for(node(1)), Digest::of(data), data.size(), results[1]));
  sim_.run(group.wait());
  expect_all(results);
  EXPECT_LT(world_.clock.now() - before, seconds(5));
}

TEST_F(Spread, DoesNotFailForTheRegistryOfAnother) {
  make_nodes(1);
  const std::string data = random_bytes(kMega, 2);
  registry_.add_model("m", {data});
  std::vector<Result<void>> results(2);
  io::TaskGroup group(world_.executor, world_.clock);
  group.spawn(fetch_into(node(0), registry_for(node(0), "m", false), Digest::of(data), data.size(),
                         results[0]));
  group.spawn(
      fetch_into(node(0), registry_for(node(0)), Digest::of(data), data.size(), results[1]));
  sim_.run(group.wait());
  EXPECT_FALSE(results[0]);
  EXPECT_TRUE(results[1]) << results[1].error().what;
}

TEST_F(Spread, TakesPartsFromNodesThatAreStillReceiving) {
  make_nodes(3);
  const std::string data = random_bytes(112 * kMega, 3);
  put(node(0), data);
  ASSERT_TRUE(wait(node(0).lists->find(Digest::of(data))));
  sim_.run(pause(seconds(1)));  // It knows all chunks: each receiver begins with another one.
  node(0).slow_down = 4 * kMega;
  expect_all(fetch_all({1, 2}, data, false));
  // Alone, the holder would have sent two copies.
  EXPECT_LT(node(0).bytes_asked, data.size() * 5 / 4);
  EXPECT_GT(node(1).bytes_asked + node(2).bytes_asked, data.size() / 2);
}

TEST_F(Spread, AnotherNodeTakesOverWhenTheOneThatDrawsDies) {
  make_nodes(3);
  const std::string data = random_bytes(80 * kMega, 4);
  registry_.add_model("m", {data});
  registry_.faults.bytes_per_second = 2 * kMega;
  // Whoever got the lease dies after a third.
  size_t origin = 0;
  const auto kill_origin = [&] {
    const auto held = facts_.entries.find("/pulls/" + Digest::of(data).str());
    EXPECT_NE(held, facts_.entries.end());
    origin = static_cast<size_t>(held->second.value[0] - 'a');
    return node(origin).kill();
  };
  const auto results = fetch_and({0, 1, 2}, data, 0, 32 * kMega, kill_origin);
  ASSERT_TRUE(acted_);
  for (size_t i = 0; i < 3; i++) {
    if (i == origin) continue;
    EXPECT_TRUE(results[i]) << results[i].error().what;
    EXPECT_TRUE(has(node(i), data));
  }
  // What the dead node had not passed on yet is drawn again, and no more.
  EXPECT_LE(registry_.blob_bytes_sent, data.size() + 5 * kChunkBytes);
}

TEST_F(Spread, GoesOnFromWhatIsOnDiskAfterACrash) {
  make_nodes(2);
  const std::string data = random_bytes(64 * kMega, 5);
  put(node(0), data);
  node(0).slow_down = 20 * kMega;
  const auto kill = [&] { return node(1).kill(); };
  const auto results = fetch_and({1}, data, 1, 40 * kMega, kill);
  ASSERT_TRUE(acted_);
  EXPECT_FALSE(results[0]);
  const uint64_t before = node(0).bytes_asked;
  node(1).state = cluster::NodeState::ready;
  sim_.run(node(1).start());
  expect_all(fetch_all({1}, data, false));
  EXPECT_TRUE(has(node(1), data));
  EXPECT_LE(node(0).bytes_asked - before, 24 * kMega + 16 * kMega);
}

TEST_F(Spread, DropsASourceAfterItsFirstWrongChunk) {
  make_nodes(3);
  // More chunks than streams, all equally quick: none is taken over half done, when one could not
  // tell whose bytes are the wrong ones.
  const std::string data = random_bytes(68 * kMega, 6);
  put(node(0), data);
  put(node(1), data);
  node(0).slow_down = node(1).slow_down = 10 * kMega;
  node(1).send_garbage = true;
  const uint64_t bad = bad_chunks.value();
  expect_all(fetch_all({2}, data, false));
  EXPECT_GT(bad_chunks.value(), bad);
  EXPECT_TRUE(has(node(2), data));
  EXPECT_LE(node(1).bytes_asked, kStreamsPerNode * kChunkBytes);
  EXPECT_THAT(node(1).corrupt, ::testing::ElementsAre(Digest::of(data)));  // It was told.
  EXPECT_TRUE(node(0).corrupt.empty());
}

TEST_F(Spread, DoesNotWaitForASlowSource) {
  make_nodes(3);
  const std::string data = random_bytes(36 * kMega, 7);
  put(node(0), data);
  put(node(1), data);
  node(0).slow_down = 10 * kMega;
  node(1).slow_down = 100 * 1024;  // A chunk would take it minutes.
  const auto before = world_.clock.now();
  expect_all(fetch_all({2}, data, false));
  EXPECT_LT(world_.clock.now() - before, seconds(15));
}

TEST_F(Spread, SaysWithinHalfAMinuteThatNothingComes) {
  make_nodes(2);
  const std::string data = random_bytes(20 * kMega, 8);
  const auto before = world_.clock.now();
  const auto results = fetch_all({1}, data, false);  // Nobody has it.
  ASSERT_FALSE(results[0]);
  EXPECT_EQ(results[0].error().code, Errc::unavailable);
  EXPECT_LE(world_.clock.now() - before, seconds(33));
}

TEST_F(Spread, SaysAtOnceThatTheRegistryRefusesWhatNobodyHas) {
  make_nodes(2);
  const std::string data = random_bytes(20 * kMega, 31), other = random_bytes(kMega, 32);
  registry_.add_model("m", {data, other});
  registry_.blobs.erase(Digest::of(data).str());
  const auto before = world_.clock.now();
  const auto missing = fetch_all({1}, data);
  ASSERT_FALSE(missing[0]);
  EXPECT_EQ(missing[0].error().code, Errc::not_found);
  EXPECT_EQ(missing[0].error().what, "file does not exist");
  registry_.faults.lie_about_size = true;
  const auto lying = fetch_all({1}, other);
  ASSERT_FALSE(lying[0]);
  EXPECT_EQ(lying[0].error().code, Errc::corrupt);
  EXPECT_THAT(lying[0].error().what, HasSubstr("the registry has"));
  EXPECT_LT(world_.clock.now() - before, seconds(3));
}

TEST_F(Spread, SaysWhatTheRegistryFailsWith) {
  make_nodes(2);
  const std::string data = random_bytes(kMega, 33);
  registry_.add_model("m", {data});
  registry_.faults.refusals_left = 1000;
  const auto results = fetch_all({1}, data);
  ASSERT_FALSE(results[0]);
  EXPECT_EQ(results[0].error().code, Errc::unavailable);
  EXPECT_THAT(results[0].error().what, HasSubstr("(the registry: 503: busy)"));
}

// As for a model that was made in the cluster: no registry knows it.
TEST_F(Spread, WaitsForAHolderThatBringsNothingForNowWhenTheRegistryRefuses) {
  make_nodes(2);
  const std::string data = random_bytes(kMega, 34);
  put(node(0), data);
  node(0).slow_down = 1;
  std::vector<Result<void>> results(1);
  io::TaskGroup group(world_.executor, world_.clock);
  group.spawn(
      fetch_into(node(1), registry_for(node(1)), Digest::of(data), data.size(), results[0]));
  sim_.run(pause(seconds(12)));
  EXPECT_GT(registry_.count("GET"), 0U);
  node(0).slow_down = 0;
  sim_.run(group.wait());
  expect_all(results);
}

TEST_F(Spread, FetchesNothingThatCameWhenItBegan) {
  make_nodes(1);
  const std::string data = random_bytes(kMega, 35);
  registry_.add_model("m", {data});
  put(node(0), data);
  expect_all(fetch_all({0}, data));
  Download alone(registry_for(node(0)), Digest::of(data), data.size());
  sim_.run(alone.run());
  EXPECT_TRUE(alone.result());
  EXPECT_EQ(alone.completed(), data.size());
  EXPECT_EQ(registry_.count("GET"), 0U);
}

TEST_F(Spread, SaysThatAPullNeedsAgreementWhenThereIsNone) {
  make_nodes(2);
  const std::string data = random_bytes(kMega, 9);
  registry_.add_model("m", {data});
  node(1).metadata.reachable = false;
  const auto results = fetch_all({1}, data);
  ASSERT_FALSE(results[0]);
  EXPECT_EQ(results[0].error().code, Errc::not_leader);
  EXPECT_EQ(registry_.blob_bytes_sent, 0U);
}

// It ends while the voters are asked once more: that was not the client's doing.
TEST_F(Spread, DoesNotCallAPullCancelledThatNobodyCancelled) {
  make_nodes(2);
  const std::string data = random_bytes(kMega, 9);
  registry_.add_model("m", {data});
  node(1).metadata.answer_time = std::chrono::hours(1);
  const auto results = fetch_all({1}, data);
  ASSERT_FALSE(results[0]);
  EXPECT_EQ(results[0].error().code, Errc::deadline_exceeded);
}

TEST_F(Spread, CopiesFromAHolderWithoutAnyAgreement) {
  make_nodes(2);
  const std::string data = random_bytes(18 * kMega, 10);
  put(node(0), data);
  node(1).metadata.reachable = false;
  expect_all(fetch_all({1}, data, false));
  EXPECT_TRUE(has(node(1), data));
}

TEST_F(Spread, AsksTheRegistryWhenTheHoldersBringNothing) {
  make_nodes(2);
  const std::string data = random_bytes(18 * kMega, 11);
  registry_.add_model("m", {data});
  put(node(0), data);
  node(0).slow_down = 1;
  expect_all(fetch_all({1}, data));
  EXPECT_TRUE(has(node(1), data));
}

TEST_F(Spread, WorksWithARegistryThatKnowsNoRanges) {
  make_nodes(2);
  const std::string data = random_bytes(20 * kMega, 12);
  registry_.add_model("m", {data});
  registry_.faults.ranges = false;
  expect_all(fetch_all({0, 1}, data));
  EXPECT_TRUE(has(node(0), data));
  EXPECT_TRUE(has(node(1), data));
}

// As a bad sector: the file can be opened, and not be read to its end.
TEST_F(Spread, FetchesPartsAgainThatCannotBeRead) {
  make_nodes(1);
  const std::string data = random_bytes(18 * kMega, 31);
  store::testing::FailingFiles failing(world_.files);
  io::World bad_disk = failing.world_with(world_);
  const auto blob =
      wait(IncomingBlob::open(bad_disk, *node(0).store, Digest::of(data), data.size())).value();
  const auto write_all = [&] {
    for (size_t i = 0; i < blob->block_count(); i++) {
      ASSERT_TRUE(wait(blob->write_block(i, data.substr(i * kMega, blob->block_bytes(i)), {})));
    }
  };
  write_all();
  failing.fail_read = blob->path();
  const auto verified = wait(blob->verify_filled());
  EXPECT_TRUE(verified) << verified.error().what;
  EXPECT_FALSE(blob->chunk_is_filled(0));
  failing.fail_read.clear();  // It is written elsewhere on the disk.
  write_all();
  EXPECT_TRUE(wait(blob->verify_filled()));
  EXPECT_TRUE(wait(blob->finish()));
  EXPECT_TRUE(has(node(0), data));
}

// Bit rot at a holder: it finds out when it is asked, and the copy comes from elsewhere.
TEST_F(Spread, NeverTakesOverARottenCopy) {
  make_nodes(3);
  const std::string data = random_bytes(34 * kMega, 13);
  put(node(0), data);
  put(node(1), data);
  {
    auto file = world_.files.open(node(0).store->blob_path(Digest::of(data)),
                                  io::Filesystem::Open::read_write);
    ASSERT_TRUE((*file)->write_at(20 * kMega, "rot"));
  }
  expect_all(fetch_all({2}, data, false));
  EXPECT_TRUE(has(node(2), data));
  EXPECT_EQ(node(0).corrupt, std::vector<Digest>{Digest::of(data)});
}

// A holder that lies about the blob and its digests alike is found out by the digest of the whole.
class Liar : public Spread {
 protected:
  void put_wrong(ClusterNode& at, const std::string& data) {
    std::string wrong = data;
    ChunkList list(data.size());
    for (size_t chunk = 0; chunk < list.count(); chunk++) {
      wrong[chunk * kChunkBytes] ^= 1;
      list.set(chunk, Digest::of(std::string_view(wrong).substr(chunk * kChunkBytes,
                                                                chunk_length(data.size(), chunk))));
    }
    const Digest digest = Digest::of(data);
    ASSERT_TRUE(world_.files.write_file(at.store->blob_path(digest), wrong));
    ASSERT_TRUE(world_.files.write_file(chunk_list_path(*at.store, digest), list.to_text()));
  }
};

TEST_F(Liar, IsLeftOutWhenSomebodyElseHasTheBlob) {
  make_nodes(3);
  const std::string data = random_bytes(33 * kMega, 14);
  put_wrong(node(0), data);
  put(node(1), data);
  expect_all(fetch_all({2}, data, false));
  EXPECT_TRUE(has(node(2), data));
}

TEST_F(Liar, GetsNothingKeptWhenItIsAlone) {
  make_nodes(2);
  const std::string data = random_bytes(17 * kMega, 15);
  put_wrong(node(0), data);
  const auto results = fetch_all({1}, data, false);
  ASSERT_FALSE(results[0]);
  EXPECT_EQ(results[0].error().code, Errc::corrupt);
  EXPECT_TRUE(node(1).store->blobs().value().empty());
}

TEST_F(Liar, DoesNotKeepTheRegistryFromBeingAsked) {
  make_nodes(2);
  const std::string data = random_bytes(17 * kMega, 16);
  registry_.add_model("m", {data});
  put_wrong(node(0), data);
  expect_all(fetch_all({1}, data));
  EXPECT_TRUE(has(node(1), data));
}

}  // namespace
}  // namespace om::transfer
