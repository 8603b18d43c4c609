// Copies of what is removed or made again while they are on their way.
#include "transfer/testing/replicated.h"

namespace om::transfer {
namespace {

using std::chrono::seconds;
using testing::random_bytes;

constexpr uint64_t kMega = 1 << 20;

class StaleCopies : public testing::Replicated {
 protected:
  // Two nodes; `b` has just begun to copy the model, and would need half a minute.
  std::string begin_copy() {
    make_cluster(2);
    node(0).slow_down = kMega / 4;
    std::string bytes = put_model(0, "m", random_bytes(8 * kMega, 1));
    for (int i = 0; i < 100 && copied_bytes() == 0; i++) pass(std::chrono::milliseconds(100));
    EXPECT_GT(copied_bytes(), 0U);
    return bytes;
  }
  uint64_t copied_bytes() {
    const auto copies = replicas(1).progress();
    return copies.empty() ? 0 : copies.front().done_bytes;
  }
  // As a user removes it on `a`.
  void remove_model() { ASSERT_TRUE(remove(0, "m")); }
  std::vector<Digest> blobs_of_b() { return node(1).store->blobs().value(); }
};

TEST_F(StaleCopies, EndWithTheModelAndLeaveNothing) {
  begin_copy();
  put(node(1), "{}");  // Its config, which has come whole.
  remove_model();
  pass(seconds(5));
  EXPECT_TRUE(replicas(1).progress().empty());
  EXPECT_EQ(blobs_of_b(), std::vector<Digest>());
  EXPECT_EQ(holders("m"), "");
}

TEST_F(StaleCopies, LeaveWhatAnotherNameOfTheModelNeeds) {
  const std::string bytes = begin_copy();
  put(node(1), "{}");  // As above.
  put_model(0, "renamed", random_bytes(8 * kMega, 1));
  ASSERT_TRUE(wait(catalogue(0).put(name("renamed"), bytes, {})));
  remove_model();
  pass(seconds(5));
  EXPECT_THAT(blobs_of_b(), ::testing::ElementsAre(Digest::of("{}")));
  pass(seconds(40));
  EXPECT_EQ(holders("renamed"), "ab");
}

TEST_F(StaleCopies, LeaveWhatTheyDidNotFetch) {
  make_cluster(2);
  node(0).slow_down = kMega / 4;
  put(node(1), "{}");  // Somebody's upload.
  put_model(0, "m", random_bytes(8 * kMega, 1));
  pass(seconds(10));
  ASSERT_GT(copied_bytes(), 2U);
  remove_model();
  pass(seconds(5));
  EXPECT_THAT(blobs_of_b(), ::testing::ElementsAre(Digest::of("{}")));
}

TEST_F(StaleCopies, LeaveEverythingWhereNothingIsToBePruned) {
  begin_copy();
  node(1).context->options.prune = false;
  put(node(1), "{}");
  remove_model();
  pass(seconds(5));
  EXPECT_THAT(blobs_of_b(), ::testing::ElementsAre(Digest::of("{}")));
}

TEST_F(StaleCopies, DoNotHoldUpWhatIsMadeUnderTheNameAnew) {
  begin_copy();
  const std::string fresh = random_bytes(1000, 2);
  const std::string bytes = put_model(0, "m", fresh);
  ASSERT_TRUE(wait(catalogue(0).put(name("m"), bytes, {})));
  pass(seconds(10));
  EXPECT_EQ(holders("m"), "ab");
  EXPECT_EQ(node(1).store->read_manifest(name("m")).value(), bytes);
  EXPECT_TRUE(has(node(1), fresh));
}

io::Task<void> bring_into(Replicas& replicas, model::Name name, Digest manifest,
                          Replicas::Files files, Result<void>& result) {
  result = co_await replicas.bring(std::move(name), manifest, std::move(files), {});
}

Replicas::Files layers_of(const std::string& manifest) {
  Replicas::Files files;
  for (const model::Layer& layer : model::Manifest::parse(manifest).value().layers) {
    files.emplace_back(layer.digest, layer.size);
  }
  return files;
}

TEST_F(StaleCopies, LeaveARequestForAnotherNameOfTheModelAlone) {
  const std::string layer = random_bytes(8 * kMega, 1), bytes = begin_copy();
  put_model(0, "renamed", layer);
  ASSERT_TRUE(wait(catalogue(0).put(name("renamed"), bytes, {})));
  pass(seconds(1));
  Result<void> result;
  io::TaskGroup group(world_.executor, world_.clock);
  group.spawn(
      bring_into(replicas(1), name("renamed"), Digest::of(bytes), layers_of(bytes), result));
  pass(seconds(1));
  remove_model();
  sim_.run(group.wait());
  EXPECT_TRUE(result) << result.error().what;
  EXPECT_TRUE(has(node(1), layer));
}

TEST_F(StaleCopies, EndARequestThatWaitsForThem) {
  const std::string bytes = begin_copy();
  Result<void> result;
  io::TaskGroup group(world_.executor, world_.clock);
  group.spawn(bring_into(replicas(1), name("m"), Digest::of(bytes), layers_of(bytes), result));
  pass(seconds(1));
  const auto begun = world_.clock.now();
  remove_model();
  sim_.run(group.wait());
  EXPECT_EQ(result.error().code, Errc::not_found) << result.error().what;
  EXPECT_LT(world_.clock.now() - begun, seconds(5));
}

}  // namespace
}  // namespace om::transfer
