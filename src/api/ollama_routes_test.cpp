#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/ollama_for_test.h"

namespace om::api {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr std::string_view kHello = R"({"model":"m","messages":[{"role":"user","content":"Hi"}]})";

std::vector<boost::json::object> lines_of(std::string_view body) {
  std::vector<boost::json::object> lines;
  while (!body.empty()) {
    const size_t end = body.find('\n');
    lines.push_back(boost::json::parse(body.substr(0, end)).as_object());
    body.remove_prefix(end == body.npos ? body.size() : end + 1);
  }
  return lines;
}

TEST(OllamaChat, StreamsALineForEachPieceAndThenTheCounts) {
  OllamaNode node;
  node.shelf.add("m");
  node.script.answer = "<b>";
  KeptResponse response = node.post("/api/chat", std::string(kHello));
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.content_type, "application/x-ndjson");
  EXPECT_EQ(response.headers().get("X-OllamaMax-Node"), "here");
  EXPECT_EQ(response.headers().get("X-OllamaMax-Attempts"), "1");
  EXPECT_TRUE(response.finished);
  EXPECT_THAT(response.body, HasSubstr(R"("message":{"role":"assistant","content":"\u003c"},)"
                                       R"("done":false})"));
  const auto lines = lines_of(response.body);
  ASSERT_EQ(lines.size(), 4);
  EXPECT_EQ(lines[3].at("done"), true);
  EXPECT_EQ(lines[3].at("done_reason"), "stop");
  EXPECT_EQ(lines[3].at("eval_count"), 3);
  EXPECT_EQ(lines[3].at("prompt_eval_count"), 4);
  EXPECT_EQ(lines[3].at("load_duration"), 2000000000);
}

TEST(OllamaChat, SendsEmptyChunksWhileNothingElseComes) {
  OllamaNode node;
  node.shelf.add("m");
  node.script.answer = "Hi";
  node.take_per_piece(std::chrono::seconds(100));
  KeptResponse response = node.post("/api/chat", std::string(kHello));
  EXPECT_EQ(response.content_type, "application/x-ndjson");
  std::string text;
  const auto lines = lines_of(response.body);
  EXPECT_GT(lines.size(), 12);
  for (const auto& line : lines) text += line.at("message").at("content").as_string();
  EXPECT_EQ(text, "Hi");
  EXPECT_EQ(lines.front().at("done"), false);
  EXPECT_EQ(lines.back().at("done"), true);
  // Lines are numbered for who picks an answer up.
  response = node.ask("POST", "/api/chat", std::string(kHello), {{"Idempotency-Key", "k"}});
  EXPECT_EQ(lines_of(response.body).size(), 3);
}

TEST(OllamaChat, JoinsNoOtherAnswerToTheBeginningThatAClientHas) {
  OllamaNode node;  // Keeps nothing.
  node.shelf.add("m");
  node.script.answer = "Hello";
  const auto ask = [&](std::string target, std::string body, std::string seen) {
    return node.ask("POST", std::move(target), std::move(body),
                    {{"Idempotency-Key", "k"}, {"Last-Event-ID", std::move(seen)}});
  };
  const KeptResponse refused = ask("/api/chat", std::string(kHello), "2");
  EXPECT_EQ(refused.status, 410);
  EXPECT_THAT(refused.body, HasSubstr("ask again without Last-Event-ID"));
  const std::string message =
      R"({"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"Hi"}]})";
  EXPECT_EQ(ask("/v1/messages", message, "2").status, 410);
  // That a message starts may have been told before there was anything to keep.
  const KeptResponse begun = ask("/v1/messages", message, "1");
  EXPECT_EQ(begun.status, 200);
  EXPECT_THAT(begun.body, testing::StartsWith("id: 2\n"));
}

TEST(OllamaChat, JoinsEverythingForThoseWhoDoNotStream) {
  OllamaNode node;
  node.shelf.add("m");
  node.script.answer = "Hello";
  node.script.logprobs = true;
  KeptResponse response =
      node.post("/api/chat", R"({"MODEL":"m","stream":false,"logprobs":true,)"
                             R"("messages":[{"role":"USER","content":"Hi"}]} x)");
  EXPECT_EQ(response.content_type, "application/json; charset=utf-8");
  ASSERT_EQ(response.status, 200) << response.body;
  const auto value = boost::json::parse(response.body);
  EXPECT_EQ(value.at("message").at("content"), "Hello");
  EXPECT_EQ(value.at("logprobs").as_array().size(), 5);
  EXPECT_EQ(value.at("logprobs").at(0).at("bytes"), boost::json::array{72});
}

TEST(OllamaChat, TellsAResumedStreamInItsHeaders) {
  OllamaNode node;
  node.shelf.add("m");
  node.script.answer = "Hello";
  node.script.deaths = {2};
  KeptResponse response = node.post(
      "/api/chat", R"({"model":"m","stream":false,"messages":[{"role":"user","content":"Hi"}]})");
  EXPECT_EQ(boost::json::parse(response.body).at("message").at("content"), "Hello");
  EXPECT_EQ(response.headers().get("X-OllamaMax-Attempts"), "2");
  EXPECT_EQ(response.headers().get("X-OllamaMax-Resumed"), "1");
}

TEST(OllamaChat, TellsInItsHeadersWhatTheContextHadNoRoomFor) {
  OllamaNode node;
  node.shelf.add("m").template_text = "{{ range .Messages }}{{ .Content }}{{ end }}";
  node.shelf.add("e").capabilities = {"embedding"};
  node.script.answer = "x";
  node.script.context = 64;
  const auto told = [&](std::string path, std::string body) {
    node.script.requests.clear();  // Each has a prompt of its own.
    KeptResponse response = node.post(std::move(path), std::move(body));
    EXPECT_EQ(response.status, 200) << response.body;
    return std::string(response.headers().get("X-OllamaMax-Truncated"));
  };
  const std::string text(40, 'a');
  const auto chat = [&](std::string_view last) {
    return fmt::format(
        R"({{"model":"m","messages":[{{"role":"user","content":"{}"}},)"
        R"({{"role":"assistant","content":"b"}},{{"role":"user","content":"{}"}}]}})",
        text, last);
  };
  EXPECT_EQ(told("/api/chat", chat("c")), "");
  EXPECT_EQ(told("/api/chat", chat(text)), "messages=1");
  EXPECT_EQ(told("/v1/chat/completions", chat(text)), "messages=1");
  EXPECT_EQ(told("/api/embed", fmt::format(R"({{"model":"e","input":["{0}{0}","a"]}})", text)),
            "texts=1");
}

TEST(OllamaChat, LoadsAndUnloadsWithOneObject) {
  OllamaNode node;
  node.shelf.add("m");
  auto value = boost::json::parse(node.post("/api/chat", R"({"model":"m"})").body);
  EXPECT_EQ(value.at("done_reason"), "load");
  EXPECT_EQ(value.at("message").at("content"), "");
  value = boost::json::parse(node.post("/api/generate", R"({"model":"m","keep_alive":0})").body);
  EXPECT_EQ(value.at("done_reason"), "unload");
  EXPECT_EQ(value.at("response"), "");
}

TEST(OllamaGenerate, GivesTheContextOfTheNextRequest) {
  OllamaNode node;
  node.shelf.add("m").template_text = "{{ .Prompt }}";
  node.script.answer = "b";
  const auto lines = lines_of(node.post("/api/generate", R"({"model":"m","prompt":"a"})").body);
  EXPECT_EQ(lines.at(0).at("response"), "b");
  EXPECT_EQ(lines.at(1).at("context"), (boost::json::array{98, 99}));
}

TEST(OllamaGenerate, ShowsTheRenderedPromptOnDemand) {
  OllamaNode node;
  node.shelf.add("m");
  const auto value = boost::json::parse(
      node.post("/api/generate", R"({"model":"m","prompt":"a","_debug_render_only":true})").body);
  EXPECT_EQ(value.at("_debug_info").at("rendered_template"), "|a|");
  EXPECT_EQ(value.at("done"), false);
}

// Ollama's Go client and its CLI send both fields with every request.
TEST(OllamaGenerate, KeepsTheModelsOwnSystemAndTemplateWhereTheRequestsAreEmpty) {
  OllamaNode node;
  node.shelf.add("m").system = "Be kind.";
  const auto value = boost::json::parse(
      node.post("/api/generate", R"({"model":"m","prompt":"a","system":"","template":"",)"
                                 R"("_debug_render_only":true})")
          .body);
  EXPECT_EQ(value.at("_debug_info").at("rendered_template"), "Be kind.|a|");
}

TEST(OllamaEmbed, AnswersVectorsInTheShapesOfBothRoutes) {
  OllamaNode node;
  node.shelf.add("e").capabilities = {"embedding"};
  auto value = boost::json::parse(
      node.post("/api/embed", R"({"model":"e","input":["a","b"],"dimensions":2})").body);
  EXPECT_EQ(value.at("embeddings"), boost::json::parse("[[0.6,0.8],[0.6,0.8]]"));
  value = boost::json::parse(node.post("/api/embed", R"({"model":"e"})").body);
  EXPECT_EQ(value.at("embeddings"), boost::json::array{});
  value = boost::json::parse(node.post("/api/embeddings", R"({"model":"e","prompt":"a"})").body);
  EXPECT_EQ(value.at("embedding"), (boost::json::array{3, 4, 1}));
}

TEST(OllamaEmbed, LeavesALongReplyToAWorker) {
  OllamaNode node;
  node.shelf.add("e").capabilities = {"embedding"};
  node.script.embedding_length = 1024;
  node.world().workers().job_max = std::chrono::seconds(1);
  const auto time_taken = [&node](size_t texts) {
    const boost::json::object body{{"model", "e"}, {"input", boost::json::array(texts, "a")}};
    const io::TimePoint start = node.world().clock().now();
    const auto reply =
        boost::json::parse(node.post("/api/embed", boost::json::serialize(body)).body);
    EXPECT_EQ(reply.at("embeddings").as_array().size(), texts);
    return node.world().clock().now() - start;
  };
  EXPECT_EQ(time_taken(16), io::Duration{});
  EXPECT_GT(time_taken(17), io::Duration{});
}

TEST(OllamaRoutes, AreFoundWithASlashTooMany) {
  OllamaNode node;
  node.shelf.add("m");
  node.script.answer = "b";
  for (const char* path : {"/api/tags/", "//api/tags", "//api///tags//", "//"}) {
    EXPECT_EQ(node.ask("GET", path, "").status, 200) << path;
  }
  for (const char* path : {"//api/chat", "/api/chat/"}) {
    EXPECT_EQ(lines_of(node.post(path, std::string(kHello)).body).size(), 2) << path;
    EXPECT_EQ(node.ask("GET", path, "").status, 405) << path;
  }
  for (const char* path : {"/api/none/", "//none", "/apitags"}) {
    EXPECT_EQ(node.ask("GET", path, "").status, 404) << path;
  }
}

TEST(OllamaModels, AreListedCopiedAndDeleted) {
  OllamaNode node;
  EXPECT_EQ(node.ask("GET", "/api/tags", "").body, R"({"models":[]})");
  node.put_model("a");
  EXPECT_EQ(node.post("/api/copy", R"({"source":"a","destination":"b:c"})").status, 200);
  EXPECT_EQ(node.ask("DELETE", "/api/delete", R"({"name":"a"})").status, 200);
  const auto value = boost::json::parse(node.ask("GET", "/api/tags", "").body);
  ASSERT_EQ(value.at("models").as_array().size(), 1);
  EXPECT_EQ(value.at("models").at(0).at("name"), "b:c");
  EXPECT_EQ(value.at("models").at(0).at("details").at("family"), "llama");
}

TEST(OllamaBlobs, AreStoredOnceUnderTheirDigest) {
  OllamaNode node;
  const std::string path = "/api/blobs/" + Digest::of("data").str();
  EXPECT_EQ(node.ask("HEAD", path, "").status, 404);
  EXPECT_EQ(node.post(path, "data").status, 201);
  EXPECT_EQ(node.post(path, "data").status, 200);
  EXPECT_EQ(node.ask("HEAD", path, "").status, 200);
}

TEST(OllamaPull, StreamsProgressAndTellsAFailureAsItsLastLine) {
  OllamaNode node;
  node.transfer.progress = {
      {.status = "pulling manifest", .digest = {}, .total = {}, .completed = {}}};
  KeptResponse response = node.post("/api/pull", R"({"model":"m"})");
  EXPECT_EQ(response.body, "{\"status\":\"pulling manifest\"}\n");
  node.transfer.failure = Error{Errc::not_found, "pull model manifest: file does not exist"};
  response = node.post("/api/pull", R"({"model":"m"})");
  EXPECT_EQ(response.status, 200);
  EXPECT_THAT(response.body,
              HasSubstr("\n{\"error\":\"pull model manifest: file does not exist\"}\n"));
  response = node.post("/api/pull", R"({"model":"m","stream":false})");
  EXPECT_EQ(response.status, 500);
}

TEST(OllamaCreate, UnderstandsEveryField) {
  OllamaNode node;
  node.transfer.progress = {{.status = "success", .digest = {}, .total = {}, .completed = {}}};
  const KeptResponse response =
      node.post("/api/create",
                R"({"name":"m","from":"base","stream":false,"license":["L"],"quantization":"Q8_0",)"
                R"("system":"S","template":"{{ .Prompt }}","parameters":{"stop":["x"]},)"
                R"("messages":[{"role":"user","content":"q"}]})");
  EXPECT_EQ(response.body, R"({"status":"success"})");
  ASSERT_EQ(node.transfer.created.size(), 1);
  const transfer::CreateRequest& request = node.transfer.created[0];
  EXPECT_EQ(request.from, "base");
  EXPECT_EQ(request.quantize, "Q8_0");
  EXPECT_EQ(request.licenses, std::vector<std::string>{"L"});
  EXPECT_EQ(request.messages.at(0).content, "q");
  const KeptResponse refused =
      node.post("/api/create", R"({"name":"m","from":"base","template":"{{ .Prompt "})");
  EXPECT_EQ(refused.status, 400);
  EXPECT_THAT(refused.body, StartsWith("{\"error\":\"template error: template: :1:"));
}

TEST(Api, RefusesForeignPagesAndReboundNames) {
  OllamaNode node;
  const auto status = [&](std::string host, std::string origin) {
    std::vector<std::pair<std::string, std::string>> headers = {{"Host", std::move(host)}};
    if (!origin.empty()) headers.emplace_back("Origin", std::move(origin));
    return node.ask("GET", "/api/version", "", std::move(headers)).status;
  };
  EXPECT_EQ(status("localhost:11434", ""), 200);
  EXPECT_EQ(status("[::1]:11434", ""), 200);
  EXPECT_EQ(status("192.168.1.7", ""), 200);
  EXPECT_EQ(status("my.internal", ""), 200);
  EXPECT_EQ(status("evil.example", ""), 403);
  EXPECT_EQ(status("8.8.8.8", ""), 403);
  EXPECT_EQ(status("localhost.evil.example:11434", ""), 403);
  EXPECT_EQ(status("localhost", "http://localhost:3000"), 200);
  EXPECT_EQ(status("localhost", "app://thing"), 200);
  EXPECT_EQ(status("localhost", "https://evil.example"), 403);
  EXPECT_EQ(status("localhost", "http://localhost.evil.example"), 403);
  EXPECT_EQ(status("box.local:11434", "http://box.local:11434"), 200);
}

TEST(Api, AnswersPreflightsOfAllowedPages) {
  Settings settings;
  settings.origins = {"https://*.example.org"};
  OllamaNode node(std::move(settings));
  KeptResponse response =
      node.ask("OPTIONS", "/api/chat", "", {{"Origin", "https://a.example.org"}});
  EXPECT_EQ(response.status, 204);
  EXPECT_EQ(response.headers().get("Access-Control-Allow-Origin"), "https://a.example.org");
  EXPECT_EQ(response.headers().get("Access-Control-Max-Age"), "43200");
  for (const char* name : {"x-api-key", "anthropic-version", "anthropic-beta", "X-Queue-Timeout",
                           "anthropic-dangerous-direct-browser-access", "OpenAI-Project"}) {
    EXPECT_THAT(response.headers().get("Access-Control-Allow-Headers"), HasSubstr(name));
  }
  EXPECT_THAT(response.headers().get("Access-Control-Expose-Headers"), HasSubstr("Retry-After"));
}

// A cache between them must give no page what was answered to another one.
TEST(Api, APackedAnswerStillVariesByItsPage) {
  OllamaNode node;
  KeptResponse response =
      node.ask("GET", "/openapi.yaml", "",
               {{"Origin", "http://localhost:3000"}, {"Accept-Encoding", "gzip"}});
  EXPECT_EQ(response.headers().get("Content-Encoding"), "gzip");
  std::vector<std::string> varies;
  for (const auto& [name, value] : response.headers()) {
    if (name == "Vary") varies.push_back(value);
  }
  EXPECT_THAT(varies, ::testing::UnorderedElementsAre("Origin", "Accept-Encoding"));
}

TEST(Api, TellsItsStateAndMetrics) {
  Settings settings;
  settings.version = "1.2.3";
  settings.revision = "abc";
  settings.ready = [] { return false; };
  OllamaNode node(std::move(settings));
  EXPECT_EQ(node.ask("GET", "/", "").body, "Ollama is running");
  EXPECT_EQ(node.ask("HEAD", "/", "").status, 200);
  EXPECT_EQ(node.ask("GET", "/api/version", "").body,
            R"({"version":"0.17.4","ollamamax":"1.2.3","revision":"abc"})");
  EXPECT_THAT(node.ask("GET", "/api/status", "").body, HasSubstr("\"disabled\":true"));
  EXPECT_EQ(node.ask("POST", "/api/me", "").body, R"({"name":""})");
  EXPECT_EQ(node.ask("GET", "/livez", "").status, 200);
  EXPECT_EQ(node.ask("GET", "/readyz", "").status, 503);
  EXPECT_THAT(node.ask("GET", "/metrics", "").body,
              HasSubstr(R"(ollamamax_requests_total{route="/livez",status="200"})"));
}

TEST(Api, RefusesInferenceWhileMemoryIsShort) {
  bool shedding = true;
  Settings settings;
  settings.shedding = [&shedding] { return shedding; };
  OllamaNode node(std::move(settings));
  const auto ready = node.ask("GET", "/readyz", "");
  EXPECT_EQ(ready.status, 503);
  EXPECT_THAT(ready.body, HasSubstr("short of memory"));
  for (const char* path : {"/api/chat", "/api/generate", "/api/embed", "/v1/chat/completions",
                           "/v1/responses", "/v1/messages"}) {
    auto refused = node.post(path, "{}");
    EXPECT_EQ(refused.status, 503) << path;
    EXPECT_EQ(refused.headers().get("Retry-After"), "5") << path;
    EXPECT_THAT(refused.body, HasSubstr("short of memory")) << path;
  }
  EXPECT_THAT(node.post("/v1/messages", "{}").body, HasSubstr("overloaded_error"));
  EXPECT_EQ(node.ask("GET", "/api/tags", "").status, 200);
  shedding = false;
  EXPECT_EQ(node.ask("GET", "/readyz", "").status, 200);
  EXPECT_EQ(node.post("/api/chat", "{}").status, 400);
}

}  // namespace
}  // namespace om::api
