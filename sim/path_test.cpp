// The whole request path under faults, many seeds: SIM_SEEDS says how many (60), SIM_SEED replays
// one. A failure prints the line that replays it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "base/log.h"
#include "sim/fake_llama.h"
#include "sim/path_run_for_test.h"

namespace om::sim {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string replay_line(uint64_t seed) {
  return fmt::format("SIM_SEED={} build/asan/sim_test --gtest_filter=Path.KeepsItsPromises", seed);
}

// Told also when a check aborts the run.
std::string g_replay;

void tell_replay(int) {
  const auto written = ::write(STDERR_FILENO, g_replay.data(), g_replay.size());
  (void)written;  // The process ends anyway.
  std::signal(SIGABRT, SIG_DFL);
  std::abort();
}

uint64_t number_from(const char* variable, uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

PathReport run_told(uint64_t seed) {
  g_replay = replay_line(seed) + "\n";
  std::signal(SIGABRT, tell_replay);
  PathReport report = run_path(seed);
  std::signal(SIGABRT, SIG_DFL);
  return report;
}

TEST(Path, KeepsItsPromises) {
  const LogLevel level = log_level();
  const bool one = std::getenv("SIM_SEED") != nullptr;
  if (!one) set_log_level(LogLevel::off);
  const uint64_t first = number_from("SIM_SEED", 1);
  const uint64_t count = one ? 1 : number_from("SIM_SEEDS", 60);
  std::map<std::string, int> counts;
  for (uint64_t seed = first; seed < first + count; seed++) {
    const PathReport report = run_told(seed);
    EXPECT_THAT(report.complaints, IsEmpty()) << replay_line(seed);
    for (const auto& [name, number] : report.counts) counts[name] += number;
  }
  for (const auto& [name, number] : counts) RecordProperty(name, number);
  if (one) {
    for (const auto& [name, number] : counts) fmt::print("{} {}\n", number, name);
  }
  set_log_level(level);
}

TEST(Path, IsTheSameForTheSameSeed) {
  const LogLevel level = log_level();
  set_log_level(LogLevel::off);
  for (uint64_t seed = 1; seed <= 5; seed++) {
    EXPECT_EQ(run_told(seed).trace, run_told(seed).trace) << seed;
  }
  EXPECT_NE(run_told(1).trace, run_told(2).trace);
  set_log_level(level);
}

// --- the oracle itself: each promise broken on purpose must be noticed ---

Exchange right_exchange() {
  Exchange exchange;
  exchange.prompt = "hello";
  exchange.predict = 30;
  exchange.status = 200;
  exchange.text = fake_answer("hello", 30);
  exchange.ends = 1;
  exchange.reason = exchange.text.size() < 30 ? "stop" : "length";
  exchange.prompt_count = 5;
  exchange.output_count = static_cast<int64_t>(exchange.text.size());
  return exchange;
}

TEST(Oracle, AcceptsARightAnswerAndAnHonestError) {
  ASSERT_GT(right_exchange().text.size(), 10U);
  EXPECT_THAT(judge(right_exchange(), {.calm = true}), IsEmpty());
  Exchange failed = right_exchange();
  failed.text.resize(7);
  failed.ends = 0;
  failed.error = "the runner died";
  EXPECT_THAT(judge(failed, {}), IsEmpty());
  EXPECT_THAT(judge(failed, {.calm = true}), ElementsAre(HasSubstr("nothing was broken")));
  failed.error.clear();
  failed.left = true;
  EXPECT_THAT(judge(failed, {}), IsEmpty());
}

struct Planted {
  std::string_view name;
  void (*plant)(Exchange&);
  std::string_view complaint;
};

TEST(Oracle, NoticesEveryPlantedFault) {
  const Planted planted[] = {
      {"a token twice", [](Exchange& e) { e.text.insert(5, 1, e.text[5]); }, "seen twice"},
      {"a token lost", [](Exchange& e) { e.text.erase(5, 1); }, "tokens lost"},
      {"the last token lost", [](Exchange& e) { e.text.pop_back(); }, "done after"},
      {"another answer", [](Exchange& e) { e.text = fake_answer("other", 30); }, "tokens lost"},
      {"no end", [](Exchange& e) { e.ends = 0; }, "without a done line"},
      {"two ends", [](Exchange& e) { e.ends = 2; }, "after the end"},
      {"a token after the end", [](Exchange& e) { e.after_end = true; }, "after the end"},
      {"an end and an error", [](Exchange& e) { e.error = "x"; }, "an end and an error"},
      {"never ended", [](Exchange& e) { e.timed_out = true; }, "never ended"},
      {"wrong output count", [](Exchange& e) { e.output_count--; }, "counts"},
      {"wrong prompt count", [](Exchange& e) { e.prompt_count++; }, "counts a prompt"},
      {"wrong reason", [](Exchange& e) { e.reason = "load"; }, "ends by load"},
      {"no JSON", [](Exchange& e) { e.nonsense = "{"; }, "nonsense"},
      {"a cut connection", [](Exchange& e) { e.ends = 0, e.broken = "reset"; }, "broke"},
      {"a wrong status", [](Exchange& e) { e.ends = 0, e.status = 404, e.error = "x"; }, "status"},
  };
  for (const Planted& fault : planted) {
    Exchange exchange = right_exchange();
    fault.plant(exchange);
    EXPECT_THAT(judge(exchange, {}), ::testing::Contains(HasSubstr(std::string(fault.complaint))))
        << fault.name;
  }
}

}  // namespace
}  // namespace om::sim
