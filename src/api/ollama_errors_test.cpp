#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/ollama_for_test.h"

namespace om::api {
namespace {

struct Case {
  std::string_view method, path, body;
  int status;
  std::string_view text;  // Of {"error":...}, or the whole body if it is not JSON.
};

constexpr std::string_view kDigest =
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

// The table of Ollama's errors.
const std::vector<Case> kCases = {
    {"GET", "/nothing", "", 404, "404 page not found"},
    {"GET", "/api/chat", "", 405, "405 method not allowed"},
    {"POST", "/api/tags", "", 405, "405 method not allowed"},
    {"POST", "/api/chat", "", 400, "missing request body"},
    {"POST", "/api/generate", "  \n", 400, "missing request body"},
    {"POST", "/api/chat", R"({"model":"m",)", 400, "unexpected EOF"},
    {"POST", "/api/chat", R"({"model":1})", 400,
     "json: cannot unmarshal number into Go struct field ChatRequest.model of type string"},
    {"POST", "/api/chat", R"({"model":"m","messages":[{"role":"user","content":["x"]}]})", 400,
     "json: cannot unmarshal array into Go struct field ChatRequest.messages.content of type "
     "string"},
    {"POST", "/api/chat", R"({"model":"m","messages":[{"role":"user","content":1}]})", 400,
     "json: cannot unmarshal number into Go struct field ChatRequest.messages.content of type "
     "string"},
    {"POST", "/api/chat",
     R"({"model":"m","messages":[{"tool_calls":[{"function":{"arguments":[]}}]}]})", 400,
     "json: cannot unmarshal array into Go struct field "
     "ChatRequest.messages.tool_calls.function.arguments of type map[string]interface {}"},
    {"POST", "/api/generate", R"({"model":"m","stream":"no"})", 400,
     "json: cannot unmarshal string into Go struct field GenerateRequest.stream of type bool"},
    {"POST", "/api/chat", "[1]", 400,
     "json: cannot unmarshal array into Go value of type api.ChatRequest"},
    {"POST", "/api/generate", "{}", 404, "model '' not found"},
    {"POST", "/api/chat", "{}", 400, "model is required"},
    {"POST", "/api/show", "{}", 400, "model is required"},
    {"POST", "/api/push", "{}", 400, "model is required"},
    {"POST", "/api/embeddings", "{}", 400, "model is required"},
    {"POST", "/api/embed", "{}", 404, "model '' not found"},
    {"POST", "/api/pull", "{}", 400, "invalid model name"},
    {"POST", "/api/create", "{}", 400, "invalid model name"},
    {"DELETE", "/api/delete", "{}", 400, "model is required"},
    {"POST", "/api/chat", R"({"model":"a b"})", 400, "invalid model name"},
    {"DELETE", "/api/delete", R"({"model":"a b"})", 400, "name \"a b\" is invalid"},
    {"POST", "/api/generate", R"({"model":"x","prompt":"a"})", 404, "model 'x' not found"},
    {"POST", "/api/chat", R"({"model":"x"})", 404, "model 'x' not found"},
    {"POST", "/api/show", R"({"model":"x"})", 404, "model 'x:latest' not found"},
    {"DELETE", "/api/delete", R"({"model":"x"})", 404, "model 'x' not found"},
    {"POST", "/api/embed", R"({"model":"x","input":"a"})", 404,
     "model \"x\" not found, try pulling it first"},
    {"POST", "/api/embeddings", R"({"model":"x","prompt":"a"})", 404,
     "model \"x\" not found, try pulling it first"},
    {"POST", "/api/copy", R"({"source":"x","destination":"y"})", 404, "model \"x\" not found"},
    {"POST", "/api/copy", R"({"source":"a b","destination":"y"})", 400,
     "source \"a b\" is invalid"},
    {"POST", "/api/copy", R"({"source":"x","destination":""})", 400, "destination \"\" is invalid"},
    {"POST", "/api/chat", R"({"model":"x:cloud"})", 403,
     "ollama cloud is disabled: remote model is unavailable"},
    {"POST", "/api/show", R"({"model":"x:cloud"})", 403,
     "ollama cloud is disabled: remote model details are unavailable"},
    {"POST", "/api/chat", R"({"model":"m","messages":[{"role":"user"}],"tools":[{}]})", 400,
     "registry.ollama.ai/library/m:latest does not support tools"},
    {"POST", "/api/chat", R"({"model":"m","messages":[{"role":"user"}],"think":true})", 400,
     "\"m\" does not support thinking"},
    {"POST", "/api/chat", R"({"model":"m","think":"x"})", 400,
     R"(invalid think value: "x" (must be "high", "medium", "low", "max", true, or false))"},
    {"POST", "/api/chat", R"({"model":"m","keep_alive":"bogus"})", 400,
     "time: invalid duration \"bogus\""},
    {"POST", "/api/chat", R"({"model":"m","keep_alive":true})", 400, "Unsupported type: 'bool'"},
    {"POST", "/api/chat", R"({"model":"m","top_logprobs":21})", 400,
     "top_logprobs must be between 0 and 20"},
    {"POST", "/api/chat", R"({"model":"m","messages":[{"role":"user","images":["*"]}]})", 400,
     "illegal base64 data at input byte 0"},
    {"POST", "/api/chat", R"({"model":"m","messages":[{"role":"user","images":["aGVsbG8"]}]})", 400,
     "illegal base64 data at input byte 4"},
    {"POST", "/api/chat",
     R"({"model":"m","messages":[{"role":"user"}],"options":{"num_ctx":"big"}})", 400,
     "option \"num_ctx\" must be of type integer"},
    {"POST", "/api/generate", R"({"model":"m","prompt":"a","raw":true,"system":"s"})", 400,
     "raw mode does not support template, system, or context"},
    {"POST", "/api/generate", R"({"model":"m","prompt":"a","suffix":"b"})", 400,
     "registry.ollama.ai/library/m:latest does not support insert"},
    {"POST", "/api/embed", R"({"model":"m","input":5})", 400, "invalid input type"},
    {"POST", "/api/chat", R"({"model":"e","messages":[{"role":"user"}]})", 400,
     "\"e\" does not support chat"},
    {"POST", "/api/create", R"({"model":"m"})", 400, "neither 'from' or 'files' was specified"},
    {"POST", "/api/create", R"({"model":"m","files":{"/a":"sha256:00"}})", 400,
     "file path must be relative"},
    {"POST", "/api/create", R"({"model":"m","files":{"a":""}})", 400, "invalid digest format"},
    {"HEAD", "/api/blobs/sha256:12", "", 400, "invalid digest format"},
    {"POST", "/api/blobs/nonsense", "", 400, "invalid digest format"},
};

TEST(OllamaErrors, HaveOllamasStatusAndText) {
  for (const Case& test : kCases) {
    OllamaNode node;
    node.shelf.add("m");
    node.shelf.add("e").capabilities = {"embedding"};
    const KeptResponse response =
        node.ask(std::string(test.method), std::string(test.path), std::string(test.body));
    EXPECT_EQ(response.status, test.status) << test.path << " " << test.body;
    if (response.content_type == "text/plain") {
      EXPECT_EQ(response.body, test.text);
      continue;
    }
    EXPECT_EQ(response.content_type, "application/json; charset=utf-8");
    const auto value = boost::json::parse(response.body);
    EXPECT_EQ(value.at("error").as_string(), test.text) << test.path << " " << test.body;
  }
}

TEST(OllamaErrors, TellAFullQueueAsJsonAlsoToThoseWhoStream) {
  OllamaNode node;
  node.shelf.add("m");
  node.script.acquire_error =
      Error{Errc::overloaded, "server busy, please try again.  maximum pending requests exceeded"};
  KeptResponse response = node.post("/api/generate", R"({"model":"m","prompt":"a"})");
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.headers().get("Retry-After"), "1");
  EXPECT_EQ(response.body,
            "{\"error\":\"server busy, please try again.  maximum pending requests exceeded\"}");
}

TEST(OllamaErrors, AreTheLastLineOfAStreamThatHasBegun) {
  OllamaNode node;
  node.shelf.add("m");
  node.script.answer = "Hello";
  node.script.deaths = {1, 1, 1};
  const KeptResponse response =
      node.post("/api/chat", R"({"model":"m","messages":[{"role":"user","content":"a"}]})");
  EXPECT_EQ(response.status, 200);
  EXPECT_TRUE(response.finished);
  const size_t last = response.body.rfind("{\"error\":\"model runner has unexpectedly stopped");
  ASSERT_NE(last, response.body.npos);
  EXPECT_EQ(response.body.find('\n', last), response.body.size() - 1);
}

TEST(OllamaErrors, TellATooLargeBodyWith413) {
  Settings settings;
  settings.body_bytes_max = 100;
  OllamaNode node(std::move(settings));
  EXPECT_EQ(node.post("/api/chat", std::string(101, ' ')).status, 413);
}

TEST(OllamaErrors, TellABodyThatDoesNotComeOrCannotBeReadWithAStatusOfTheClient) {
  OllamaNode node;
  node.body_failure = {Errc::deadline_exceeded, "request body: the client sent nothing in time"};
  EXPECT_EQ(node.post("/api/chat", "{").status, 408);
  node.body_failure = {Errc::unsupported, "the content encoding 'br' is not supported"};
  const KeptResponse response = node.post("/api/chat", "{}");
  EXPECT_EQ(response.status, 415);
  EXPECT_NE(response.body.find("content encoding 'br'"), response.body.npos);
}

TEST(OllamaErrors, OfUploadsNameBothDigestsAndKeepNothing) {
  OllamaNode node;
  const std::string path = "/api/blobs/" + std::string(kDigest);
  const KeptResponse response = node.post(path, "not empty");
  EXPECT_EQ(response.status, 400);
  const auto value = boost::json::parse(response.body);
  EXPECT_EQ(value.at("error").as_string(), "digest mismatch, expected \"" + std::string(kDigest) +
                                               "\", got \"" + Digest::of("not empty").str() + "\"");
  EXPECT_EQ(node.ask("HEAD", path, "").status, 404);
  EXPECT_EQ(node.ask("HEAD", "/api/blobs/" + Digest::of("not empty").str(), "").status, 404);
}

}  // namespace
}  // namespace om::api
