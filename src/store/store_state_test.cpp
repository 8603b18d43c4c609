// The store against a model of it: any sequence of put, copy, remove, list and reopen.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <rapidcheck/state.h>

#include <algorithm>
#include <random>

#include "base/strings.h"
#include "sim/world.h"
#include "store/store.h"

namespace om::store {
namespace {

// What should be there: by lower-case name, the layers.
struct Expected {
  std::map<std::string, std::vector<int>> models;
};

struct Real {
  sim::World sim{3};
  std::unique_ptr<Store> store;

  Real() { reopen(); }
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
  void reopen() {
    store.reset();
    store = wait(Store::open(sim.world(), "/m", true)).value();
  }
  static std::string layer(int number) { return "layer " + std::to_string(number); }
  std::string put(std::string_view name, const std::vector<int>& layers) {
    model::Manifest manifest;
    manifest.config = {std::string(model::kConfigMediaType), wait(store->put_blob("{}")).value(), 2,
                       ""};
    for (const int number : layers) {
      const std::string text = layer(number);
      manifest.layers.push_back({std::string(model::kLayerMediaPrefix) + "license",
                                 wait(store->put_blob(text)).value(), text.size(), ""});
    }
    const auto parsed = model::Name::parse(name).value();
    auto done = wait(store->put_manifest(parsed, manifest.to_json()));
    return done ? "" : done.error().what;
  }

  // Every model is as expected, and every blob that is there is named or was never collected.
  void check(const Expected& expected) {
    const auto listed = wait(store->list()).value();
    RC_ASSERT(listed.size() == expected.models.size());
    for (const auto& stored : listed) {
      const std::string key = to_lower(stored.name.shortest());
      RC_ASSERT(expected.models.contains(key));
      std::vector<int> layers = expected.models.at(key);
      RC_ASSERT(stored.manifest.layers.size() == layers.size());
      for (size_t i = 0; i < layers.size(); i++) {
        const auto data = store->read_blob(stored.manifest.layers[i].digest, 100);
        RC_ASSERT(data.value() == layer(layers[i]));
      }
      RC_ASSERT(store->read_blob(stored.manifest.config.digest, 100).value() == "{}");
    }
  }
};

using Command = rc::state::Command<Expected, Real>;

std::string any_name() {
  return *rc::gen::element<std::string>("a:latest", "A:latest", "b:latest", "b:X", "u/c:1", "U/C:1",
                                        "h.example:5000/u/c:1");
}

struct Put : Command {
  std::string name = any_name();
  std::vector<int> layers =
      *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 5)).as("layers");
  // A repeated layer is read once, at its first place.
  void apply(Expected& expected) const override {
    std::vector<int>& kept = expected.models[to_lower(name)];
    kept.clear();
    for (const int layer : layers) {
      if (std::ranges::find(kept, layer) == kept.end()) kept.push_back(layer);
    }
  }
  void run(const Expected& before, Real& real) const override {
    RC_ASSERT(real.put(name, layers) == "");
    Expected after = before;
    apply(after);
    real.check(after);
  }
  void show(std::ostream& out) const override { out << "put " << name; }
};

struct Copy : Command {
  std::string from = any_name(), to = any_name();
  void apply(Expected& expected) const override {
    const auto found = expected.models.find(to_lower(from));
    if (found == expected.models.end()) return;
    const auto layers = found->second;
    expected.models[to_lower(to)] = layers;
  }
  void run(const Expected& before, Real& real) const override {
    const auto done = real.wait(
        real.store->copy(model::Name::parse(from).value(), model::Name::parse(to).value()));
    RC_ASSERT(done.has_value() == before.models.contains(to_lower(from)));
    Expected after = before;
    apply(after);
    real.check(after);
  }
  void show(std::ostream& out) const override { out << "copy " << from << " " << to; }
};

struct Remove : Command {
  std::string name = any_name();
  void apply(Expected& expected) const override { expected.models.erase(to_lower(name)); }
  void run(const Expected& before, Real& real) const override {
    const auto done = real.wait(real.store->remove(model::Name::parse(name).value()));
    RC_ASSERT(done.has_value() == before.models.contains(to_lower(name)));
    Expected after = before;
    apply(after);
    real.check(after);
    if (after.models.empty() && done) {
      RC_ASSERT(real.sim.files().list("/m/manifests").value().empty());
    }
  }
  void show(std::ostream& out) const override { out << "remove " << name; }
};

struct Reopen : Command {
  void apply(Expected&) const override {}
  void run(const Expected& before, Real& real) const override {
    real.reopen();
    real.check(before);
  }
  void show(std::ostream& out) const override { out << "reopen"; }
};

// The power goes out: what a call reported as done is still there.
struct Crash : Command {
  void apply(Expected&) const override {}
  void run(const Expected& before, Real& real) const override {
    real.store.reset();
    real.sim.files().crash();
    real.reopen();
    real.check(before);
  }
  void show(std::ostream& out) const override { out << "crash"; }
};

RC_GTEST_PROP(StoreState, IsWhatItWasToldWhateverTheOrder, ()) {
  Expected expected;
  Real real;
  rc::state::check(expected, real,
                   rc::state::gen::execOneOfWithArgs<Put, Put, Copy, Remove, Reopen, Crash>());
}

// reliability 15: one flipped bit anywhere is found.
TEST(Scrub, FindsEveryFlippedBit) {
  Real real;
  const Digest digest = real.wait(real.store->put_blob(std::string(4096, 'x'))).value();
  auto file = real.sim.files()
                  .open(real.store->blob_path(digest), io::Filesystem::Open::read_write)
                  .value();
  std::mt19937 random(15);
  for (int i = 0; i < 1000; i++) {
    const uint64_t at = random() % 4096;
    const char flipped = static_cast<char>('x' ^ (1 << (random() % 8)));
    ASSERT_TRUE(file->write_at(at, std::string_view(&flipped, 1)));
    ASSERT_EQ(real.wait(real.store->verify(digest)).error().code, Errc::corrupt) << at;
    ASSERT_TRUE(file->write_at(at, "x"));
  }
  EXPECT_TRUE(real.wait(real.store->verify(digest)));
}

// reliability 32: whatever text comes, a name that is accepted stays below its folder.
RC_GTEST_PROP(StorePaths, NeverLeaveTheFolder, ()) {
  const auto piece = rc::gen::oneOf(
      rc::gen::element<std::string>("..", "/", ".", ":", "a", "%2e", "\\", "\xc0\xae",
                                    "\xef\xbc\x8f", "~", "", "C:", "//", "x_y"),
      rc::gen::map(rc::gen::arbitrary<char>(), [](char c) { return std::string(1, c); }));
  std::string text;
  for (const auto& part : *rc::gen::container<std::vector<std::string>>(piece)) text += part;
  const auto name = model::Name::parse(text);
  if (name) {
    const std::string path = "/" + name->path() + "/";
    RC_ASSERT(std::count(path.begin(), path.end(), '/') == 5);
    RC_ASSERT(path.find("/../") == std::string::npos);
    RC_ASSERT(path.find("/./") == std::string::npos);
    RC_ASSERT(path.find("//") == std::string::npos);
    RC_ASSERT(path.find('\0') == std::string::npos);
  }
  const auto digest = Digest::parse(text);
  if (digest) RC_ASSERT(digest->file_name().size() == 71U);
}

}  // namespace
}  // namespace om::store
