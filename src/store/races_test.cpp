// What happens to one name or one blob at the same time: the workers come to it in any order.
#include <gtest/gtest.h>

#include <optional>

#include "io/task_group.h"
#include "sim/world.h"
#include "store/store.h"

namespace om::store {
namespace {

constexpr uint64_t kSeeds = 50;

// A store on a machine whose workers take their time.
class Raced {
 public:
  explicit Raced(uint64_t seed) : sim_(seed) {
    sim_.workers().job_max = std::chrono::milliseconds(5);
    open();
  }
  void open() {
    store_.reset();
    store_ = wait(Store::open(sim_.world(), "/m", true)).value();
  }
  void lose_power() {
    store_.reset();
    sim_.files().crash();
    open();
  }
  Store& store() { return *store_; }

  template <class T>
  T wait(io::Task<T> task) {
    std::optional<T> result;
    sim_.run(keep(std::move(task), result));
    return std::move(*result);
  }
  // Both at once; the first begins first.
  template <class T>
  std::pair<T, T> race(io::Task<T> one, io::Task<T> other) {
    std::optional<T> first, second;
    io::TaskGroup group(sim_.world().executor, sim_.clock());
    group.spawn(keep(std::move(one), first));
    group.spawn(keep(std::move(other), second));
    sim_.run(group.wait());
    return {std::move(*first), std::move(*second)};
  }

  // The manifest of a model with this layer, whose blobs are there.
  std::string manifest_with(const std::string& layer) {
    model::Manifest manifest;
    manifest.config = {std::string(model::kConfigMediaType), wait(store_->put_blob("{}")).value(),
                       2, ""};
    manifest.layers.push_back({std::string(model::kLayerMediaPrefix) + "license",
                               wait(store_->put_blob(layer)).value(), layer.size(), ""});
    return manifest.to_json();
  }

 private:
  template <class T>
  static io::Task<void> keep(io::Task<T> task, std::optional<T>& result) {
    result.emplace(co_await std::move(task));
  }

  sim::World sim_;
  std::unique_ptr<Store> store_;
};

model::Name name() { return model::Name::parse("m").value(); }

TEST(StoreRaces, OneOfTwoWhoSawTheSameManifestReplacesIt) {
  for (uint64_t seed = 1; seed <= kSeeds; seed++) {
    Raced raced(seed);
    const std::string old = raced.manifest_with("old");
    const std::string one = raced.manifest_with("one"), other = raced.manifest_with("other");
    ASSERT_TRUE(raced.wait(raced.store().put_manifest(name(), old)));
    const auto [first, second] =
        raced.race(raced.store().replace_if(name(), Digest::of(old), one),
                   raced.store().replace_if(name(), Digest::of(old), other));
    ASSERT_TRUE(first && second) << "seed " << seed;
    EXPECT_NE(*first, *second) << "seed " << seed;
    EXPECT_EQ(raced.store().read_manifest(name()).value(), *first ? one : other);
  }
}

TEST(StoreRaces, WhatReplacedTheManifestThatWasSeenIsNotRemoved) {
  for (uint64_t seed = 1; seed <= kSeeds; seed++) {
    Raced raced(seed);
    const std::string old = raced.manifest_with("old"), fresh = raced.manifest_with("fresh");
    ASSERT_TRUE(raced.wait(raced.store().put_manifest(name(), old)));
    const auto [replaced, removed] =
        raced.race(raced.store().replace_if(name(), Digest::of(old), fresh),
                   raced.store().remove_if(name(), Digest::of(old)));
    ASSERT_TRUE(replaced && removed) << "seed " << seed;
    EXPECT_NE(*replaced, *removed) << "seed " << seed;
    EXPECT_EQ(raced.wait(raced.store().list()).value().size(), *replaced ? 1U : 0U)
        << "seed " << seed;
  }
}

TEST(StoreRaces, ABlockThatIsForgottenWhileOthersAreSyncedStaysForgotten) {
  const std::string block(PartialBlob::kBlockBytes, 'x');
  const std::string whole = block + block;
  for (uint64_t seed = 1; seed <= kSeeds; seed++) {
    Raced raced(seed);
    auto partial = raced.wait(raced.store().open_partial(Digest::of(whole), whole.size())).value();
    for (size_t i = 0; i < 2; i++) ASSERT_TRUE(raced.wait(partial->write_block(i, block)));
    const auto [synced, forgotten] = raced.race(partial->sync(), partial->forget_blocks(0, 1));
    ASSERT_TRUE(synced && forgotten) << "seed " << seed;
    partial.reset();
    raced.lose_power();
    partial = raced.wait(raced.store().open_partial(Digest::of(whole), whole.size())).value();
    EXPECT_FALSE(partial->has_block(0)) << "seed " << seed;
    EXPECT_TRUE(partial->has_block(1)) << "seed " << seed;
  }
}

}  // namespace
}  // namespace om::store
