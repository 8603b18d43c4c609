// What Api does around every route: headers, the log, metrics.
#include "api/api.h"

#include <gmock/gmock.h>

#include "api/metrics.h"
#include "api/ollama_for_test.h"
#include "base/log.h"

namespace om::api {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::string_view kHello = R"({"model":"m","messages":[{"role":"user","content":"Hi"}])";

// Else what is streamed comes through nginx all at once.
TEST(Api, TellsProxiesToPassStreamsOn) {
  OllamaNode node;
  node.shelf.add("m");
  node.script.answer = "Hi";
  const auto buffering = [&](std::string path, std::string_view rest) {
    KeptResponse response = node.post(std::move(path), std::string(kHello) + std::string(rest));
    EXPECT_EQ(response.status, 200) << response.body;
    return std::string(response.headers().get("X-Accel-Buffering"));
  };
  EXPECT_EQ(buffering("/api/chat", "}"), "no");
  EXPECT_EQ(buffering("/v1/chat/completions", R"(,"stream":true})"), "no");
  EXPECT_EQ(buffering("/v1/messages", R"(,"max_tokens":9,"stream":true})"), "no");
  EXPECT_EQ(buffering("/api/chat", R"(,"stream":false})"), "");
}

TEST(Api, LogsProbesOnlyIfTheyFail) {
  std::vector<std::string> lines;
  set_log_sink([&](LogLevel, std::string_view line) { lines.emplace_back(line); });
  bool ready = true;
  Settings settings;
  settings.ready = [&ready] { return ready; };
  OllamaNode node(std::move(settings));
  for (const char* path : {"/livez", "/readyz", "/metrics"}) node.ask("GET", path, "");
  node.ask("HEAD", "/", "");
  EXPECT_THAT(lines, ElementsAre());
  ready = false;
  node.ask("GET", "/readyz", "");
  node.ask("GET", "/api/tags", "");
  node.ask("GET", "/nowhere", "");
  EXPECT_THAT(lines, ElementsAre(AllOf(HasSubstr("path=/readyz"), HasSubstr("status=503")),
                                 HasSubstr("path=/api/tags"), HasSubstr("path=/nowhere")));
  set_log_level(LogLevel::debug);
  lines.clear();
  node.ask("GET", "/livez", "");
  EXPECT_THAT(lines, ElementsAre(HasSubstr("path=/livez")));
  set_log_level(LogLevel::info);
  set_log_sink({});
}

// Signs of life, and the events with which a stream opens for them, are nothing of the answer.
TEST(Api, MeasuresTheTimeToTheFirstPieceOfAStream) {
  OllamaNode node;
  node.shelf.add("m");
  node.script.answer = "Hi";
  node.take_per_piece(std::chrono::seconds(40));
  for (const std::string path : {"/api/chat", "/v1/chat/completions", "/v1/messages"}) {
    const HistogramValue& measured = first_token_seconds.with({path, "m:latest"});
    const auto count = measured.count();
    const double sum = measured.sum();
    const std::string body = std::string(kHello) + R"(,"max_tokens":9,"stream":)";
    const KeptResponse response = node.post(path, body + "true}");
    EXPECT_EQ(response.status, 200) << response.body;
    EXPECT_EQ(measured.count(), count + 1) << path;
    EXPECT_NEAR(measured.sum() - sum, 40, 3) << path;
    node.post(path, body + "false}");
    EXPECT_EQ(measured.count(), count + 1) << path << ": it is not streamed";
  }
}

TEST(Api, MeasuresNoFirstPieceOfAnAnswerThatHadNone) {
  OllamaNode node;
  node.shelf.add("m");
  node.script.refusal = Error{Errc::invalid_argument,
                              "request (9 tokens) exceeds the available context size (4 tokens)"};
  const HistogramValue& measured = first_token_seconds.with({"/v1/responses", "m:latest"});
  const auto count = measured.count();
  const KeptResponse response =
      node.post("/v1/responses", R"({"model":"m","input":"Hi","stream":true})");
  EXPECT_THAT(response.body, HasSubstr("event: response.created"));
  EXPECT_THAT(response.body, HasSubstr("event: response.failed"));
  EXPECT_EQ(measured.count(), count);
}

// What is told to whom has to show a key and does not, or shows another one.
TEST(Api, AsksCallersFromElsewhereForAKey) {
  const std::string key = "0123456789abcdef";
  OllamaNode node({}, key);
  for (const auto& [path, type] :
       {std::pair("/api/tags", ""), std::pair("/metrics", ""), std::pair("/v2/", ""),
        std::pair("/nowhere", ""), std::pair("/v1/models", "\"authentication_error\""),
        std::pair("/v1/messages", "\"authentication_error\"")}) {
    KeptResponse without = node.ask("GET", path, "");
    EXPECT_EQ(without.status, 401) << path;
    EXPECT_EQ(without.headers().get("WWW-Authenticate"), "Bearer");
    EXPECT_THAT(without.body, AllOf(HasSubstr("an API key is needed"), HasSubstr(type)));
    const KeptResponse other = node.ask("GET", path, "", {{"X-Api-Key", key + "x"}});
    EXPECT_EQ(other.status, 401) << path;
    EXPECT_THAT(other.body, HasSubstr("is not known here"));
  }
  EXPECT_EQ(node.ask("GET", "/api/tags", "", {{"Authorization", "Bearer " + key}}).status, 200);
  EXPECT_EQ(node.ask("GET", "/v1/models", "", {{"X-Api-Key", key}}).status, 200);
}

TEST(Api, AsksNeitherProbesNorTheOperatorForAKey) {
  OllamaNode node({}, "0123456789abcdef");
  for (const char* path : {"/", "/livez", "/readyz"}) {
    EXPECT_EQ(node.ask("GET", path, "").status, 200) << path;
  }
  const auto preflight =
      node.ask("OPTIONS", "/api/chat", "", {{"Origin", "http://localhost:3000"}});
  EXPECT_EQ(preflight.status, 204);
  node.from_this_machine = true;
  EXPECT_EQ(node.ask("GET", "/api/tags", "").status, 200);
  const auto handed_on = node.ask("GET", "/api/tags", "", {{"X-Forwarded-For", "10.0.0.9"}});
  EXPECT_EQ(handed_on.status, 401);
}

}  // namespace
}  // namespace om::api
