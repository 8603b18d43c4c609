#include "api/openai_handlers.h"

#include <gtest/gtest.h>

#include "api/openai_for_test.h"
#include "api/openapi.h"

namespace om::api {
namespace {

namespace json = boost::json;

constexpr std::string_view kChat =
    R"({"model":"m","messages":[{"role":"user","content":"hi"}])";  // Not closed.

model::Chunk last(model::DoneReason reason = model::DoneReason::stop) {
  return {.done = true,
          .reason = reason,
          .usage = {.prompt_tokens = 5, .prompt_cached_tokens = 2, .output_tokens = 3}};
}

Script hello() { return {.chunks = {{.content = "Hel"}, {.content = "lo"}, last()}}; }

std::string chat_with(std::string_view members) {
  return fmt::format("{}{}{}}}", kChat, members.empty() ? "" : ",", members);
}

std::string message_with(std::string_view members) {
  return chat_with(fmt::format(R"("max_tokens":9{}{})", members.empty() ? "" : ",", members));
}

TEST(OpenaiRoutes, AnswerAChatWhole) {
  ScriptedNode node;
  node.generation.script = hello();
  KeptResponse response = node.post("/v1/chat/completions", chat_with(""));
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.headers().get("X-OllamaMax-Node"), "here");
  json::value reply = json::parse(response.body);
  EXPECT_EQ(reply.at("choices").at(0).at("message").at("content").as_string(), "Hello");
  EXPECT_EQ(reply.at("usage").at("total_tokens").as_int64(), 8);
  EXPECT_FALSE(node.generation.chats.at(0).common.stream);
}

TEST(OpenaiRoutes, GiveEachReplyAnIdOfItsOwn) {
  ScriptedNode node;
  node.generation.script = hello();
  json::value one = json::parse(node.post("/v1/chat/completions", chat_with("")).body);
  json::value two = json::parse(node.post("/v1/chat/completions", chat_with("")).body);
  EXPECT_NE(one.at("id").as_string(), two.at("id").as_string());
}

TEST(OpenaiRoutes, StreamAChatToItsEnd) {
  ScriptedNode node;
  node.generation.script = hello();
  KeptResponse response = node.post("/v1/chat/completions", chat_with(R"("stream":true)"));
  EXPECT_EQ(response.content_type, "text/event-stream");
  EXPECT_TRUE(response.finished);
  EXPECT_TRUE(response.body.ends_with("data: [DONE]\n\n")) << response.body;
  EXPECT_NE(response.body.find(R"("content":"Hel")"), std::string::npos);
}

TEST(OpenaiRoutes, MakeChoicesWithSeedsOfTheirOwn) {
  ScriptedNode node;
  node.generation.script = hello();
  KeptResponse response = node.post("/v1/chat/completions", chat_with(R"("n":3,"seed":5)"));
  EXPECT_EQ(json::parse(response.body).at("choices").as_array().size(), 3u);
  ASSERT_EQ(node.generation.chats.size(), 3u);
  EXPECT_EQ(node.generation.chats[2].common.options.at("seed").as_int64(), 7);
}

TEST(OpenaiRoutes, TellAnErrorBeforeTheFirstChunkByItsStatus) {
  struct Case {
    Errc code;
    int status;
    std::string_view type;
  };
  for (const Case& test :
       {Case{Errc::not_found, 404, "not_found_error"},
        Case{Errc::invalid_argument, 400, "invalid_request_error"},
        Case{Errc::overloaded, 503, "api_error"}, Case{Errc::internal, 500, "api_error"}}) {
    for (std::string_view members : {"", R"("stream":true)"}) {
      ScriptedNode node;
      node.generation.script.failure = Error{test.code, "why"};
      KeptResponse response = node.post("/v1/chat/completions", chat_with(members));
      EXPECT_EQ(response.status, test.status);
      json::value error = json::parse(response.body).at("error");
      EXPECT_EQ(error.at("message").as_string(), "why");
      EXPECT_EQ(error.at("type").as_string(), std::string(test.type));
      EXPECT_TRUE(error.at("param").is_null());
    }
  }
}

TEST(OpenaiRoutes, EndAStreamWithItsError) {
  for (std::string_view path : {"/v1/chat/completions", "/v1/completions"}) {
    ScriptedNode node;
    node.generation.script = {.chunks = {{.content = "Hel"}},
                              .refusal = {},
                              .failure = Error{Errc::internal, "the runner died"}};
    KeptResponse response =
        node.post(std::string(path), chat_with(R"("prompt":"p","stream":true)"));
    EXPECT_EQ(response.status, 200);
    EXPECT_TRUE(response.finished);
    EXPECT_NE(response.body.find(R"(data: {"error":{"message":"the runner died")"),
              std::string::npos)
        << response.body;
    EXPECT_EQ(response.body.find("[DONE]"), std::string::npos);
  }
}

TEST(OpenaiRoutes, RefuseBodiesThatAreNoObject) {
  ScriptedNode node;
  for (std::string_view path :
       {"/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"}) {
    for (std::string_view body : {"", "{", "[]", "null", "3"}) {
      KeptResponse response = node.post(std::string(path), std::string(body));
      EXPECT_EQ(response.status, 400) << path << " " << body;
      EXPECT_TRUE(json::parse(response.body).at("error").at("message").is_string());
    }
  }
}

TEST(OpenaiRoutes, CompleteEveryPromptWithEveryChoice) {
  ScriptedNode node;
  node.generation.script = hello();
  KeptResponse response =
      node.post("/v1/completions", R"({"model":"m","prompt":["a","b"],"n":2,"echo":true})");
  json::value reply = json::parse(response.body);
  ASSERT_EQ(reply.at("choices").as_array().size(), 4u) << response.body;
  EXPECT_EQ(reply.at("choices").at(2).at("text").as_string(), "bHello");
  EXPECT_EQ(reply.at("usage").at("prompt_tokens").as_int64(), 10);
  EXPECT_EQ(reply.at("usage").at("completion_tokens").as_int64(), 12);
  EXPECT_EQ(node.generation.prompts.at(3).prompt, "b");
}

TEST(OpenaiRoutes, EmbedTexts) {
  ScriptedNode node;
  node.generation.embedding = {.vectors = {{0.5F}}, .prompt_tokens = 1};
  KeptResponse response = node.post("/v1/embeddings", R"({"model":"m","input":"a"})");
  EXPECT_EQ(json::parse(response.body).at("data").at(0).at("embedding").at(0).as_double(), 0.5);
}

TEST(OpenaiRoutes, LeaveALongReplyOfNumbersToAWorker) {
  ScriptedNode node;
  node.world().workers().job_max = std::chrono::seconds(1);
  const auto time_taken = [&node](size_t texts, const char* format) {
    node.generation.embedding.vectors.assign(texts, std::vector<float>(1024, 0.5F));
    const io::TimePoint start = node.world().clock().now();
    const std::string body = fmt::format(R"({{"model":"m","input":"a",{}}})", format);
    EXPECT_EQ(json::parse(node.post("/v1/embeddings", body).body).at("data").as_array().size(),
              texts);
    return node.world().clock().now() - start;
  };
  for (const char* format : {R"("encoding_format":"float")", R"("encoding_format":"base64")"}) {
    EXPECT_EQ(time_taken(16, format), io::Duration{});
    EXPECT_GT(time_taken(17, format), io::Duration{});
  }
}

TEST(OpenaiRoutes, CallAModelThatCannotEmbedTheCallersMistake) {
  ScriptedNode node;
  node.generation.script.refusal = Error{Errc::unsupported, "no embedding model"};
  KeptResponse response = node.post("/v1/embeddings", R"({"model":"m","input":""})");
  EXPECT_EQ(response.status, 400);
  json::value error = json::parse(response.body).at("error");
  EXPECT_EQ(error.at("message").as_string(), "no embedding model");
  EXPECT_EQ(error.at("type").as_string(), "invalid_request_error");
}

TEST(OpenaiRoutes, ListNoModelsAsAnEmptyList) {
  ScriptedNode node;
  EXPECT_EQ(node.ask("GET", "/v1/models", "").body, R"({"object":"list","data":[]})");
}

TEST(OpenaiRoutes, ShowModelsInTheShapeOfTheClient) {
  ScriptedNode node;
  node.add_model("hf.co/org/small:Q4");
  json::value list = json::parse(node.ask("GET", "/v1/models", "").body);
  EXPECT_EQ(list.at("data").at(0).at("id").as_string(), "hf.co/org/small:Q4");
  EXPECT_EQ(list.at("data").at(0).at("owned_by").as_string(), "org");
  KeptResponse one = node.ask("GET", "/v1/models/hf.co/org/small:Q4", "");
  EXPECT_EQ(json::parse(one.body).at("object").as_string(), "model");
  KeptResponse anthropic =
      node.ask("GET", "/v1/models/hf.co/org/small:Q4", "", {{"anthropic-version", "2023-06-01"}});
  EXPECT_EQ(json::parse(anthropic.body).at("type").as_string(), "model");
  EXPECT_EQ(node.ask("GET", "/v1/models/none", "").status, 404);
  EXPECT_EQ(node.ask("GET", "/v1/models/no%20name", "").status, 404);
}

TEST(OpenaiRoutes, StreamAResponseAndTellItsFailure) {
  ScriptedNode node;
  node.generation.script = hello();
  KeptResponse good = node.post("/v1/responses", R"({"model":"m","input":"hi","stream":true})");
  EXPECT_TRUE(good.body.starts_with("event: response.created\n")) << good.body;
  EXPECT_NE(good.body.find("event: response.completed\n"), std::string::npos);
  node.generation.script = {
      .chunks = {{.content = "Hel"}}, .refusal = {}, .failure = Error{Errc::internal, "died"}};
  KeptResponse bad = node.post("/v1/responses", R"({"model":"m","input":"hi","stream":true})");
  EXPECT_NE(bad.body.find("event: response.failed\n"), std::string::npos) << bad.body;
  EXPECT_NE(bad.body.find(R"(event: error
data: {"type":"error","sequence_number":5,"code":"server_error","message":"died","param":null})"),
            std::string::npos)
      << bad.body;
  EXPECT_EQ(bad.body.find(R"(data: {"error")"), std::string::npos) << "no event without a type";
}

// Codex looks for the code in the stream only, OpenAI's libraries in the body of a whole answer.
TEST(OpenaiRoutes, TellATooLongConversationInTheStreamOfAResponse) {
  ScriptedNode node;
  node.generation.script.refusal = Error{
      Errc::invalid_argument, "request (9 tokens) exceeds the available context size (4 tokens)"};
  const KeptResponse whole = node.post("/v1/responses", R"({"model":"m","input":"hi"})");
  EXPECT_EQ(whole.status, 400);
  EXPECT_EQ(json::parse(whole.body).at("error").at("code"), "context_length_exceeded");

  const std::string asked = R"({"model":"m","input":"hi","stream":true})";
  const KeptResponse streamed = node.post("/v1/responses", asked);
  EXPECT_EQ(streamed.status, 200);
  EXPECT_TRUE(streamed.finished);
  std::string events;
  for (size_t at = 0; (at = streamed.body.find("event: ", at)) != std::string::npos; at++) {
    events += streamed.body.substr(at + 7, streamed.body.find('\n', at) - at - 7) + " ";
  }
  EXPECT_EQ(events, "response.created response.in_progress error response.failed ");
  const json::value last = json::parse(streamed.body.substr(streamed.body.rfind("data: ") + 6));
  EXPECT_EQ(last.at("response").at("error").at("code"), "context_length_exceeded");
  EXPECT_EQ(last.at("sequence_number"), 3);

  node.generation.script.refusal = Error{Errc::invalid_argument, "no such role"};
  EXPECT_EQ(node.post("/v1/responses", asked).status, 400) << "other trouble has its status";
}

TEST(OpenaiRoutes, AnswerAResponseWhole) {
  ScriptedNode node;
  node.generation.script = {.chunks = {{.content = "Hel"}, last(model::DoneReason::length)}};
  KeptResponse response = node.post("/v1/responses", R"({"model":"m","input":"hi"})");
  EXPECT_EQ(json::parse(response.body).at("status").as_string(), "incomplete");
}

TEST(AnthropicRoutes, AnswerWholeAndStreamed) {
  ScriptedNode node;
  node.generation.script = hello();
  KeptResponse whole = node.post("/v1/messages", message_with(""));
  EXPECT_EQ(json::parse(whole.body).at("content").at(0).at("text").as_string(), "Hello");
  KeptResponse streamed = node.post("/v1/messages", message_with(R"("stream":true)"));
  EXPECT_EQ(streamed.content_type, "text/event-stream");
  EXPECT_TRUE(streamed.body.starts_with("event: message_start\n"));
  EXPECT_TRUE(
      streamed.body.ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"));
}

TEST(AnthropicRoutes, TellErrorsInTheirShape) {
  ScriptedNode node;
  node.generation.script.refusal = Error{Errc::not_found, "model 'm' not found"};
  KeptResponse response = node.post("/v1/messages", message_with(""));
  EXPECT_EQ(response.status, 404);
  json::value body = json::parse(response.body);
  EXPECT_EQ(body.at("type").as_string(), "error");
  EXPECT_EQ(body.at("error").at("type").as_string(), "not_found_error");
  EXPECT_TRUE(body.at("request_id").as_string().starts_with("req_"));

  node.generation.script = {
      .chunks = {{.content = "Hel"}}, .refusal = {}, .failure = Error{Errc::internal, "died"}};
  KeptResponse cut = node.post("/v1/messages", message_with(R"("stream":true)"));
  EXPECT_NE(cut.body.find("event: error\ndata: {\"type\":\"error\""), std::string::npos);
  EXPECT_EQ(node.post("/v1/messages", "{").status, 400);
}

TEST(AnthropicRoutes, CountTokens) {
  ScriptedNode node;
  EXPECT_EQ(node.post("/v1/messages/count_tokens", chat_with("")).body, R"({"input_tokens":42})");
  EXPECT_EQ(node.post("/v1/messages/count_tokens", "{}").status, 400);
}

TEST(Openapi, IsServedAsItStandsInTheDocs) {
  ScriptedNode node;
  KeptResponse response = node.ask("GET", "/openapi.yaml", "");
  EXPECT_EQ(response.content_type, "application/yaml");
  EXPECT_EQ(response.body, openapi_document());
  EXPECT_TRUE(response.body.starts_with("openapi: 3.1.0\n"));
  for (std::string_view path : {"/v1/chat/completions:", "/v1/messages/count_tokens:"}) {
    EXPECT_NE(response.body.find(path), std::string::npos);
  }
}

TEST(AnthropicRoutes, ForeignModelsThinkAsTheirServersLetThem) {
  ScriptedNode node;
  node.generation.script = hello();
  node.post("/v1/messages", message_with(R"("thinking":{"type":"adaptive"})"));
  EXPECT_FALSE(node.generation.chats.at(0).common.think.is_set) << "our store has no such model";
}

TEST(AnthropicRoutes, EstimateTheTokensOfForeignModels) {
  ScriptedNode node;
  node.generation.script.refusal = Error{Errc::unsupported, "not counted"};
  const std::string body = chat_with(R"("system":"0123456789ab")");
  KeptResponse response = node.post("/v1/messages/count_tokens", body);
  EXPECT_EQ(response.body, R"({"input_tokens":3})");
  EXPECT_EQ(response.headers().get("request-id"), "req_request1");
}

size_t count(std::string_view text, std::string_view part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + part.size())) {
    found++;
  }
  return found;
}

TEST(SilentStreams, ShowThatTheAnswerIsStillBeingMade) {
  struct Case {
    std::string path, body, sign;
  };
  const std::string stream = R"("stream":true)";
  for (const auto& [path, body, sign] :
       {Case{"/v1/chat/completions", chat_with(stream), ": keep-alive\n"},
        Case{"/v1/completions", R"({"model":"m","prompt":"hi","stream":true})", ": keep-alive\n"},
        Case{"/v1/messages", message_with(stream), "event: ping\ndata: {\"type\":\"ping\"}\n\n"},
        Case{"/v1/responses", R"({"model":"m","input":"hi","stream":true})",
             "event: keepalive\ndata: {\"type\":\"keepalive\",\"sequence_number\":"}}) {
    ScriptedNode node;
    node.generation.script = hello();
    const std::string quick = node.post(path, body).body;
    EXPECT_EQ(count(quick, sign), 0u) << path;
    node.generation.script.pause = std::chrono::seconds(121);
    const KeptResponse response = node.post(path, body);
    EXPECT_EQ(response.content_type, "text/event-stream") << path;
    EXPECT_TRUE(response.finished) << path;
    // Seven until the answer, eight for each of its chunks.
    EXPECT_EQ(count(response.body, sign), 31u) << path;
    EXPECT_EQ(count(response.body, "lo\""), 1u + (path == "/v1/responses" ? 4 : 0)) << path;
    // An empty line ends an event also for readers to whom a comment is one.
    EXPECT_EQ(count(response.body, "\n\n"), count(response.body, "data: ")) << path;
  }
}

TEST(SilentStreams, TellTroubleInTheStreamOnceItHasBegun) {
  ScriptedNode node;
  node.generation.script.pause = std::chrono::seconds(20);
  node.generation.script.refusal = Error{Errc::overloaded, "server busy"};
  EXPECT_EQ(node.post("/v1/messages", message_with(R"("stream":true)")).status, 503);
  node.generation.script.pause = std::chrono::minutes(2);
  const KeptResponse late = node.post("/v1/messages", message_with(R"("stream":true)"));
  EXPECT_EQ(late.status, 200);
  EXPECT_TRUE(late.body.starts_with("event: message_start")) << late.body;
  EXPECT_EQ(count(late.body, "event: message_start"), 1u);
  EXPECT_NE(late.body.find("event: error"), std::string::npos);
}

io::Task<void> count_write(int& writes) {
  writes++;
  co_return;
}

TEST(Streams, SayTheSameInFewerWritesWhenChunksComeInOneRead) {
  const std::string stream = R"("stream":true)";
  const Script whole{.chunks = {{.content = "Hel"}, {.content = "lo"}, {.content = "!"}, last()}};
  const Script broken{.chunks = {{.content = "Hel"}, {.content = "lo"}, {.content = "!"}},
                      .failure = Error{Errc::internal, "died"}};
  for (const auto& [path, body] :
       {std::pair("/v1/chat/completions", chat_with(stream)),
        std::pair("/v1/completions",
                  std::string(R"({"model":"m","prompt":"hi","echo":true,"stream":true})")),
        std::pair("/v1/messages", message_with(stream)),
        std::pair("/v1/responses", std::string(R"({"model":"m","input":"hi","stream":true})"))}) {
    for (const Script& script : {whole, broken}) {
      std::string bodies[2];
      int writes[2] = {0, 0};
      for (const bool at_once : {false, true}) {
        ScriptedNode node;  // Draws the same ids each time.
        node.generation.script = script;
        node.generation.script.at_once = at_once;
        node.on_write = [&](std::string_view) { return count_write(writes[at_once]); };
        const KeptResponse response = node.ask("POST", path, body, {{"Idempotency-Key", "k"}});
        EXPECT_TRUE(response.finished) << path;
        bodies[at_once] = response.body;
      }
      EXPECT_NE(bodies[0].find("id: 3\n"), std::string::npos) << path << "\n" << bodies[0];
      EXPECT_EQ(bodies[1], bodies[0]) << path;
      EXPECT_EQ(writes[1], writes[0] - 2) << path;  // Three chunks in one.
    }
  }
}

TEST(OpenaiRoutes, PutEarlierItemsOfAResponseInThePlaceOfReferences) {
  ScriptedNode node;
  node.generation.script.chunks = {
      {.thinking = "hm"}, {.content = "Hello", .tool_calls = {{"c1", "f", "{}"}}}, last()};
  for (const bool streamed : {false, true}) {
    const std::string first =
        node.post("/v1/responses",
                  fmt::format(R"({{"model":"m","input":"hi","stream":{}}})", streamed))
            .body;
    const json::value response =
        streamed ? json::parse(first.substr(first.rfind("data: ") + 6)).at("response")
                 : json::parse(first);
    json::array input{json::object{{"role", "user"}, {"content", "hi"}}};
    for (const json::value& item : response.at("output").as_array()) {
      input.push_back(json::object{{"type", "item_reference"}, {"id", item.at("id")}});
    }
    ASSERT_EQ(input.size(), 4u);
    input.push_back(
        json::object{{"type", "function_call_output"}, {"call_id", "c1"}, {"output", "done"}});
    const json::object second{{"model", "m"}, {"input", input}};
    EXPECT_EQ(node.post("/v1/responses", json::serialize(second)).status, 200);
    const std::vector<model::Message>& asked = node.generation.chats.back().messages;
    ASSERT_EQ(asked.size(), 3u);
    EXPECT_EQ(asked[1].thinking, "hm");
    EXPECT_EQ(asked[1].content, "Hello");
    EXPECT_EQ(asked[1].tool_calls.at(0).name, "f");
  }
}

// Asks again as soon as `events` end the first response.
io::Task<void> refer_to(ScriptedNode& node, std::string events, int& status) {
  if (events.find("event: response.completed") == events.npos) co_return;
  const json::value last = json::parse(events.substr(events.rfind("data: ") + 6));
  const json::object item{{"type", "item_reference"},
                          {"id", last.at("response").at("output").at(0).at("id")}};
  const json::object body{{"model", "m"}, {"input", json::array{item}}};
  http::Request request;
  request.method = "POST";
  request.path = "/v1/responses";
  KeptResponse response;
  std::string text = json::serialize(body);
  co_await node.handle(request, std::move(text), response);
  status = response.status;
}

TEST(OpenaiRoutes, KnowTheItemsOfAResponseBeforeTheClientHasThem) {
  ScriptedNode node;
  node.generation.script = hello();
  int status = 0;
  node.on_write = [&](std::string_view events) {
    return refer_to(node, std::string(events), status);
  };
  node.post("/v1/responses", R"({"model":"m","input":"hi","stream":true})");
  EXPECT_EQ(status, 200);
}

TEST(OpenaiRoutes, SayWhatToDoAboutAnItemThatIsNotKept) {
  ScriptedNode node;
  node.generation.script = hello();
  const json::value told =
      json::parse(node.post("/v1/responses", R"({"model":"m","input":"hi","store":false})").body);
  const json::object body{
      {"model", "m"},
      {"input", json::array{json::object{{"id", told.at("output").at(0).at("id")}}}}};
  const KeptResponse response = node.post("/v1/responses", json::serialize(body));
  EXPECT_EQ(response.status, 400);
  EXPECT_NE(response.body.find("set store to false"), std::string::npos) << response.body;
}

}  // namespace
}  // namespace om::api
