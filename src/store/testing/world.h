// A fixture for tests of this room: a store in a fresh folder of the real file system.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "io/clock.h"
#include "io/real.h"
#include "store/store.h"

namespace om::store::testing {

using namespace ::testing;  // NOLINT: matchers, for the fixtures' users.

// The real clock with its wall time moved ahead, so that files look old.
class ShiftedClock final : public io::Clock {
 public:
  explicit ShiftedClock(io::Clock& real) : real_(real) {}
  io::TimePoint now() const override { return real_.now(); }
  io::WallTime wall_now() const override { return real_.wall_now() + shift; }
  TimerId start_timer(io::TimePoint when, std::function<void()> callback) override {
    return real_.start_timer(when, std::move(callback));
  }
  void cancel_timer(TimerId id) override { real_.cancel_timer(id); }

  io::Duration shift{};

 private:
  io::Clock& real_;
};

// Owns the io loop, the folder and the store; wait() runs a task to its end.
// The fixture: makes the folder, opens a store in it and removes it at the end.
class StoreWorld : public Test {
 public:
  StoreWorld()
      : clock_(real_.world().clock),
        world_{real_.world().executor, clock_,
               real_.world().random,   real_.world().network,
               real_.world().files,    real_.world().processes,
               real_.world().workers},
        root_(std::filesystem::temp_directory_path() /
              fmt::format("store-test-{}", world_.random.letters(12))) {}
  ~StoreWorld() override {
    store_.reset();
    std::filesystem::remove_all(root_);
  }

  io::World& world() { return world_; }
  io::Filesystem& files() { return world_.files; }
  const io::Path& root() const { return root_; }
  Store& store() { return *store_; }

  template <class T>
  T wait(io::Task<T> task) {
    std::optional<T> result;
    real_.run_until_done(keep(std::move(task), result));
    return std::move(*result);
  }

  void wait_for(io::Task<void> task) { real_.run_until_done(std::move(task)); }

  void open(bool prune = true) {
    store_.reset();
    auto opened = wait(Store::open(world_, root_, prune));
    ASSERT_TRUE(opened) << opened.error().what;
    store_ = std::move(*opened);
  }
  void reopen_after(io::Duration shift, bool prune) {
    pass(shift);
    open(prune);
  }
  void pass(io::Duration shift) { clock_.shift = shift; }  // Since the test began.

  static model::Name name(std::string_view text) { return model::Name::parse(text).value(); }
  Digest put(std::string data) { return wait(store().put_blob(std::move(data))).value(); }
  // A model of such layers; the bytes of its manifest.
  std::string put_model(std::string_view text, const std::vector<std::string>& layers) {
    model::Manifest manifest;
    manifest.config = {std::string(model::kConfigMediaType), put("{}"), 2, ""};
    for (const std::string& layer : layers) {
      manifest.layers.push_back(
          {std::string(model::kLayerMediaPrefix) + "license", put(layer), layer.size(), ""});
    }
    std::string bytes = manifest.to_json();
    const auto done = wait(store().put_manifest(name(text), bytes));
    EXPECT_TRUE(done) << done.error().what;
    return bytes;
  }
  std::vector<std::string> names() {
    std::vector<std::string> found;
    for (const auto& stored : wait(store().list()).value()) found.push_back(stored.name.shortest());
    return found;
  }
  void write_raw(std::string_view path, std::string_view data) {
    const io::Path full = io::join(root_, path);
    ASSERT_TRUE(files().make_directories(io::parent(full)));
    ASSERT_TRUE(files().write_file(full, data));
  }

 private:
  template <class T>
  static io::Task<void> keep(io::Task<T> task, std::optional<T>& result) {
    result.emplace(co_await std::move(task));
  }

  io::RealWorld real_;
  ShiftedClock clock_;
  io::World world_;
  io::Path root_;
  std::unique_ptr<Store> store_;
};

}  // namespace om::store::testing
