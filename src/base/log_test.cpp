#include "base/log.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <boost/json/parse.hpp>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "base/digest.h"

namespace om {
namespace {

// Collects the lines of one test and puts everything back.
class Log : public testing::Test {
 protected:
  void SetUp() override {
    set_log_sink([this](LogLevel level, std::string_view line) {
      levels.push_back(level);
      lines.emplace_back(line);
    });
  }
  void TearDown() override {
    set_log_format(LogFormat::text);
    set_log_level(LogLevel::info);
    set_log_sink({});
  }

  template <class... Fields>
  static std::string text(std::string_view event, const Fields&... fields) {
    const std::vector<LogField> all{fields...};
    return log_detail::body(LogFormat::text, event, all);
  }
  template <class... Fields>
  static std::string json(std::string_view event, const Fields&... fields) {
    const std::vector<LogField> all{fields...};
    return log_detail::body(LogFormat::json, event, all);
  }

  std::vector<LogLevel> levels;
  std::vector<std::string> lines;
};

TEST_F(Log, LineHoldsTimeLevelEventAndFields) {
  log_info("pull finished", field("model", "llama3:latest"), field("bytes", 1234u));
  ASSERT_EQ(lines.size(), 1u);
  const std::string& line = lines[0];
  // 2026-11-24T03:38:14.123Z
  ASSERT_GT(line.size(), 25u);
  EXPECT_EQ(line[10], 'T');
  EXPECT_EQ(line[23], 'Z');
  EXPECT_EQ(line.substr(24), " level=info event=\"pull finished\" model=llama3:latest bytes=1234");
}

TEST_F(Log, ValuesOfManyTypesAreReadable) {
  EXPECT_EQ(text("e", field("i", -3), field("b", true), field("d", 0.5),
                 field("t", std::chrono::milliseconds(1500)), field("c", Errc::not_found),
                 field("error", Error{Errc::io_failed, "disk full"})),
            "event=e i=-3 b=true d=0.5 t=1.5 c=\"not found\" error=\"disk full\"");
  EXPECT_EQ(text("e", field("d", Digest{})), "event=e d=sha256:" + std::string(64, '0'));
  EXPECT_EQ(text("e", field("empty", "")), "event=e empty=\"\"");
}

TEST_F(Log, ValueCannotStartALineAFieldOrATerminalSequence) {
  const std::string evil = "x\nlevel=error event=fake a=\"b\\\" \x1b[2J \xe2\x80\xae \xff";
  EXPECT_EQ(text("e", field("v", evil)),
            "event=e v=\"x\\nlevel=error event=fake a=\\\"b\\\\\\\" \\u001b[2J \\u202e \\xff\"");
  EXPECT_EQ(text("e", field("k\n=", 1)), "event=e k__=1");
}

TEST_F(Log, LongValuesAreCutBetweenCharacters) {
  std::string long_value(kLogValueBytesMax - 1, 'a');
  long_value += "\xc3\xa4 and more";
  EXPECT_EQ(text("e", field("v", long_value)),
            "event=e v=\"" + std::string(kLogValueBytesMax - 1, 'a') + "...\"");
}

TEST_F(Log, JsonLineIsOneObject) {
  set_log_format(LogFormat::json);
  log_warn("a \"b\"", field("n", 1), field("x", std::numeric_limits<double>::infinity()),
           field("s", "1"));
  ASSERT_EQ(lines.size(), 1u);
  const auto value = boost::json::parse(lines[0]);
  EXPECT_EQ(value.at("level"), "warn");
  EXPECT_EQ(value.at("event"), "a \"b\"");
  EXPECT_EQ(value.at("n"), 1);
  EXPECT_EQ(value.at("x"), "inf");
  EXPECT_EQ(value.at("s"), "1");
}

RC_GTEST_FIXTURE_PROP(Log, AnyBytesStayOneLineAndOneJsonString, (const std::string& value)) {
  const auto line = text("e", field("v", value));
  for (const char c : line) RC_ASSERT(static_cast<unsigned char>(c) >= 0x20);
  const auto parsed = boost::json::parse("{" + json("e", field("v", value)) + "}");
  RC_ASSERT(parsed.as_object().size() == 2u);
  RC_ASSERT(parsed.at("v").is_string());
}

TEST_F(Log, LevelsBelowTheThresholdAreNotWritten) {
  set_log_level(LogLevel::warn);
  log_info("no");
  log_debug("no");
  log_warn("yes");
  log_error("yes");
  EXPECT_EQ(levels, (std::vector{LogLevel::warn, LogLevel::error}));
  set_log_level(LogLevel::trace);
  log_trace("now");
  EXPECT_EQ(lines.size(), 3u);
  set_log_level(LogLevel::off);
  log_error("no");
  EXPECT_EQ(lines.size(), 3u);
}

TEST_F(Log, LevelNamesAreReadInAnyCase) {
  EXPECT_EQ(*parse_log_level("DEBUG"), LogLevel::debug);
  EXPECT_EQ(*parse_log_level("warning"), LogLevel::warn);
  EXPECT_EQ(parse_log_level("loud").error().code, Errc::invalid_argument);
}

TEST_F(Log, ThreadsDoNotMixTheirLines) {
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; t++) {
    threads.emplace_back([] {
      for (int i = 0; i < 100; i++) log_info("tick", field("i", i));
    });
  }
  threads.clear();
  EXPECT_EQ(lines.size(), 400u);
  for (const auto& line : lines) EXPECT_NE(line.find(" level=info event=tick i="), line.npos);
}

}  // namespace
}  // namespace om
