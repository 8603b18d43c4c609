// The power goes out at every single call to the disk while a model is written (reliability 7, 13).
#include <gtest/gtest.h>

#include <optional>

#include "sim/world.h"
#include "store/store.h"

namespace om::store {
namespace {

const std::string kOld(3000, 'o'), kNew(5000, 'n');
constexpr uint64_t kDraws = 8;  // Of what a disk kept that it was not told to.

io::Task<Result<void>> put_model(Store& store, std::string weights) {
  model::Manifest manifest;
  CO_TRY(const Digest config, co_await store.put_blob("{}"));
  manifest.config = {std::string(model::kConfigMediaType), config, 2, ""};
  const uint64_t size = weights.size();
  CO_TRY(const Digest layer, co_await store.put_blob(std::move(weights)));
  manifest.layers.push_back({std::string(model::kLayerMediaPrefix) + "license", layer, size, ""});
  CO_TRY(const model::Name name, model::Name::parse("m"));
  co_return co_await store.put_manifest(name, manifest.to_json());
}

// A machine, its disk, and the store on it.
struct Machine {
  sim::World sim{7};
  std::unique_ptr<Store> store;

  template <class T>
  static io::Task<void> keep(io::Task<T> task, std::optional<T>& result) {
    result.emplace(co_await std::move(task));
  }
  template <class T>
  T wait(io::Task<T> task) {
    std::optional<T> result;
    sim.run(keep(std::move(task), result));
    return std::move(*result);
  }
  Result<void> open() {
    store.reset();
    TRY(store, wait(Store::open(sim.world(), "/m", true)));
    return {};
  }
  void crash(uint64_t draw) {
    store.reset();
    sim.files().crash(draw);
  }
  // The bytes of the model's layer, each blob on the disk checked on the way; empty: no model.
  std::string model() {
    const auto listed = wait(store->list()).value();
    if (listed.empty()) return "";
    EXPECT_EQ(listed.size(), 1U);
    const Digest digest = listed[0].manifest.layers.at(0).digest;
    EXPECT_TRUE(wait(store->verify(listed[0].manifest.config.digest)));
    EXPECT_TRUE(wait(store->verify(digest)));
    return store->read_blob(digest, 1 << 20).value();
  }
  void check_all_blobs(uint64_t point) {
    const auto names = sim.files().list("/m/blobs");
    if (!names) return;  // It went out before the folder was there.
    for (const std::string& name : *names) {
      const auto bytes = sim.files().read_file("/m/blobs/" + name, 1 << 20);
      EXPECT_EQ(Digest::of(bytes.value()).file_name(), name) << "half a blob at " << point;
    }
  }
};

// Runs put_model with the power going out at each call; returns at how many.
uint64_t crash_everywhere(bool over_old, uint64_t draw) {
  for (uint64_t point = 1; point < 1000; point++) {
    Machine machine;
    EXPECT_TRUE(machine.open());
    if (over_old) EXPECT_TRUE(machine.wait(put_model(*machine.store, kOld)));
    machine.sim.files().fail_from_call(point);
    const bool told_done = machine.wait(put_model(*machine.store, kNew)).has_value();
    const bool all_calls = machine.sim.files().calls() < point;
    machine.crash(draw);
    machine.check_all_blobs(point);
    const auto opened = machine.open();
    EXPECT_TRUE(opened) << point << ": " << opened.error().what;
    const std::string found = machine.model();
    if (told_done) {
      EXPECT_TRUE(found == kNew) << point;
    } else {
      EXPECT_TRUE(found == kNew || found == (over_old ? kOld : "")) << point;
    }
    // And it works on.
    EXPECT_TRUE(machine.wait(put_model(*machine.store, kNew))) << point;
    EXPECT_TRUE(machine.model() == kNew) << point;
    if (all_calls) return point - 1;
  }
  return 1000;
}

TEST(StoreCrash, ShowsNoModelOrAWholeOneWhereverThePowerGoesOut) {
  for (uint64_t draw = 0; draw < kDraws; draw++) {
    SCOPED_TRACE(draw);
    const uint64_t points = crash_everywhere(false, draw);
    EXPECT_GT(points, 10U);
    EXPECT_LT(points, 1000U);
  }
}

TEST(StoreCrash, ShowsTheOldModelOrTheNewOneWhereverThePowerGoesOut) {
  for (uint64_t draw = 0; draw < kDraws; draw++) {
    SCOPED_TRACE(draw);
    const uint64_t points = crash_everywhere(true, draw);
    EXPECT_GT(points, 10U);
    EXPECT_LT(points, 1000U);
  }
}

// Also the first opening of a fresh folder.
TEST(StoreCrash, OpensAgainWhereverOpeningBroke) {
  for (uint64_t point = 1; point < 30; point++) {
    Machine machine;
    machine.sim.files().fail_from_call(point);
    (void)machine.open().has_value();  // May fail.
    machine.crash(point % kDraws);
    ASSERT_TRUE(machine.open()) << point;
    EXPECT_TRUE(machine.wait(put_model(*machine.store, kNew)));
  }
}

// As Ollama's folder, mounted to be read only.
TEST(StoreFolder, ServesWhatItHasWhereNothingCanBeWritten) {
  Machine machine;
  ASSERT_TRUE(machine.open());
  ASSERT_TRUE(machine.wait(put_model(*machine.store, kOld)));
  machine.store.reset();
  ASSERT_TRUE(machine.sim.files().remove_all("/m/partial"));
  machine.sim.files().fail_from_call(1);
  const auto opened = machine.open();
  ASSERT_TRUE(opened) << opened.error().what;
  EXPECT_TRUE(machine.model() == kOld);
  const auto put = machine.wait(put_model(*machine.store, kNew));
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().code, Errc::io_failed);
  EXPECT_FALSE(machine.wait(machine.store->remove(model::Name::parse("m").value())));
  EXPECT_TRUE(machine.model() == kOld);
}

TEST(StoreFolder, IsRefusedWhereItIsNotThereAndCannotBeMade) {
  Machine machine;
  machine.sim.files().fail_from_call(1);
  EXPECT_FALSE(machine.open());
}

}  // namespace
}  // namespace om::store
