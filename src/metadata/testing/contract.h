// What the tests of every engine share: an engine to open, and words for what they do with it.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "io/world.h"
#include "metadata/metadata.h"

namespace om::metadata::testing {

using namespace ::testing;  // NOLINT: matchers, for the users of this file.

// One engine with its world. open() may be asked again after stop(): the facts are still there.
class EngineForTest {
 public:
  virtual ~EngineForTest() = default;
  virtual io::World& world() = 0;
  virtual void run(io::Task<void> task) = 0;
  virtual io::Task<std::unique_ptr<Metadata>> open() = 0;
  // Makes it forget the changes up to the present revision, or nearly.
  virtual io::Task<void> forget_history(Metadata& metadata) = 0;
};

std::unique_ptr<EngineForTest> sqlite_for_test();
std::unique_ptr<EngineForTest> etcd_for_test();
std::unique_ptr<EngineForTest> simulated_for_test();
std::unique_ptr<EngineForTest> shared_for_test();  // Watches are shared; the engine is simulated.

// What a test's body gets.
struct Bench {
  EngineForTest& engine;
  Metadata& metadata;

  io::World& world() { return engine.world(); }
  io::Clock& clock() { return engine.world().clock; }
  // Longer than any call takes; the engines' own bound is shorter.
  io::Call call() { return clock().call_within(std::chrono::seconds(30)); }
};

// The value, or a failure of the test and an empty one.
template <class T>
T ok(Result<T> result) {
  EXPECT_TRUE(result.has_value()) << result.error().what;
  return result ? std::move(*result) : T{};
}
inline void ok(Result<void> result) { EXPECT_TRUE(result.has_value()) << result.error().what; }

template <class T>
Errc code_of(const Result<T>& result) {
  EXPECT_FALSE(result.has_value());
  return result ? Errc::internal : result.error().code;
}

struct EngineCase {
  const char* name;
  std::unique_ptr<EngineForTest> (*make)();
};
inline void PrintTo(const EngineCase& engine, std::ostream* out) { *out << engine.name; }
inline auto engines() {
  return Values(EngineCase{"sqlite", sqlite_for_test}, EngineCase{"etcd", etcd_for_test},
                EngineCase{"simulated", simulated_for_test}, EngineCase{"shared", shared_for_test});
}
inline std::string name_of_engine(const TestParamInfo<EngineCase>& info) { return info.param.name; }

using Body = io::Task<void> (*)(Bench&);
inline io::Task<void> open_and_run(EngineForTest& engine, Body body) {
  const auto metadata = co_await engine.open();
  EXPECT_NE(metadata, nullptr);
  if (!metadata) co_return;
  Bench bench{engine, *metadata};
  co_await body(bench);
  co_await metadata->stop();
}

// Runs a body with a fresh engine of the case.
class EngineTest : public TestWithParam<EngineCase> {
 protected:
  void run(Body body) {
    const auto engine = GetParam().make();
    engine->run(open_and_run(*engine, body));
  }
};

io::Task<Commit> put(Bench& bench, std::string key, std::string value, LeaseId lease = 0);
io::Task<Commit> remove(Bench& bench, std::string key);
io::Task<std::string> value_of(Bench& bench, std::string key);  // "-": it is not there.
// "key=value", of a prefix.
io::Task<std::vector<std::string>> texts_of(Bench& bench, std::string prefix);
// "key=value" and "key gone" of the next `count` changes or more, checking that none goes back.
io::Task<std::vector<std::string>> changes_of(Bench& bench, Watch& watch, size_t count);

}  // namespace om::metadata::testing
