// What a user does to a model while the keeper of copies waits for something else.
#include "transfer/testing/replicated.h"

namespace om::transfer {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::random_bytes;

class Meanwhile : public testing::Replicated {
 protected:
  // Node `a` is about to publish the model "other" when `act` happens there. Its look of the
  // catalogue and its list of models are of before.
  void while_a_looks(std::function<io::Task<void>()> act) {
    act_ = std::move(act);
    catalogue(0).describe_with([this](model::Name name, std::string bytes) {
      return describe(std::move(name), std::move(bytes));
    });
    put_model(0, "other", "of the other");
    replicas(0).look_now();
    pass(seconds(30));
    EXPECT_FALSE(act_) << "it did not look";
  }
  // As create does it: the catalogue, the manifest, then the old layers.
  io::Task<void> make_again(std::string layer, std::string old_layer) {
    Result<Digest> put = co_await node(0).store->put_blob(layer);
    EXPECT_TRUE(put);
    put = co_await node(0).store->put_blob("{}");
    EXPECT_TRUE(put);
    const std::string bytes = manifest_of(layer);
    Result<void> done = co_await catalogue(0).put(name("m"), bytes, {});
    EXPECT_TRUE(done);
    done = co_await node(0).store->put_manifest(name("m"), bytes);
    EXPECT_TRUE(done);
    std::vector<Digest> unused{Digest::of(old_layer)};
    done = co_await node(0).store->remove_unreferenced(std::move(unused));
    EXPECT_TRUE(done);
  }
  void expect_new(const std::string& layer) {
    const auto bytes = node(0).store->read_manifest(name("m"));
    ASSERT_TRUE(bytes) << bytes.error().what;
    EXPECT_EQ(*bytes, manifest_of(layer));
    EXPECT_TRUE(has(node(0), layer));
  }

 private:
  io::Task<Result<std::string>> describe(model::Name name, std::string bytes) {
    const auto act = std::exchange(act_, nullptr);
    if (act) co_await act();
    co_return boost::json::serialize(
        boost::json::object{{"name", name.str()}, {"manifest", std::move(bytes)}});
  }

  std::function<io::Task<void>()> act_;
};

TEST_F(Meanwhile, AModelMadeAgainIsNotReplacedByItsOldVersion) {
  make_cluster(2);
  const std::string old_layer = random_bytes(1000, 1), layer = random_bytes(1000, 2);
  put_model(0, "m", old_layer);
  pass(seconds(20));
  ASSERT_EQ(holders("m"), "ab");
  stop_keeper(1);  // It has the old version, and gives it to whoever asks.
  while_a_looks([&] { return make_again(layer, old_layer); });
  expect_new(layer);
}

TEST_F(Meanwhile, AModelMadeAgainIsNotRemovedAsTheOneThatWasDeleted) {
  make_cluster(1);
  const std::string old_layer = random_bytes(1000, 3), layer = random_bytes(1000, 4);
  put_model(0, "m", old_layer);
  pass(seconds(20));
  ASSERT_TRUE(wait(catalogue(0).remove(name("m"), {})));
  while_a_looks([&] { return make_again(layer, old_layer); });
  expect_new(layer);
}

// The cluster means an older version again, which the last report of this node still tells of.
TEST_F(Meanwhile, TheOnlyVersionThatIsThereStaysWhateverTheNamesMeaning) {
  make_cluster(1);
  const std::string old_layer = random_bytes(1000, 7), layer = random_bytes(1000, 8);
  put_model(0, "m", layer);
  pass(seconds(20));
  node(0).told_besides = {Digest::of(old_layer)};
  ASSERT_TRUE(wait(catalogue(0).put(name("m"), manifest_of(old_layer), {})));
  pass(seconds(20));
  EXPECT_EQ(catalogue(0).find(name("m"))->bytes, manifest_of(old_layer));
  expect_new(layer);
}

io::Task<void> remove_into(Replicas& replicas, model::Name name, Result<void>& result) {
  result = co_await replicas.remove_copy(std::move(name), false, {});
}

TEST_F(Meanwhile, AModelMadeAgainIsNotRemovedAsACopyOfItsOldVersion) {
  make_cluster(2);
  const std::string old_layer = random_bytes(1000, 5), layer = random_bytes(1000, 6);
  put_model(0, "m", old_layer);
  pass(seconds(20));
  ASSERT_EQ(holders("m"), "ab");
  stop_keeper(1);
  node(0).metadata.answer_time = seconds(1);
  Result<void> removed;
  io::TaskGroup group(world_.executor, world_.clock);
  group.spawn(remove_into(replicas(0), name("m"), removed));
  pass(milliseconds(500));  // It waits for the right to remove a copy.
  node(0).metadata.answer_time = milliseconds(1);
  sim_.run(make_again(layer, old_layer));
  sim_.run(group.wait());
  EXPECT_FALSE(removed);
  expect_new(layer);
}

}  // namespace
}  // namespace om::transfer
