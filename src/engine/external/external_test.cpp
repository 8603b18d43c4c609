// How foreign servers are asked and understood, without one.
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "engine/external/backend_dialect.h"
#include "engine/external/external_bodies.h"
#include "engine/external/external_events.h"

namespace om::engine {
namespace {

namespace json = boost::json;

std::deque<model::Chunk> read(EventParser& parser, const std::vector<std::string>& events) {
  std::deque<model::Chunk> chunks;
  for (const std::string& event : events) {
    const auto taken = parser.take(event, chunks);
    EXPECT_TRUE(taken.has_value()) << taken.error().what;
  }
  parser.end(chunks);
  return chunks;
}

model::ChatRequest chat(std::string text) {
  model::ChatRequest request;
  request.messages.push_back({.role = "user", .content = std::move(text)});
  return request;
}

json::object body_of(const Result<UpstreamRequest>& request) {
  EXPECT_TRUE(request.has_value());
  return json::parse(request->body).get_object();
}

TEST(OpenAiEvents, GatherToolCallsThatComeInPieces) {
  const auto parser = openai_events();
  const auto chunks = read(
      *parser,
      {R"({"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f"}}]}}]})",
       R"({"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"x\":"}}]}}]})",
       R"({"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]}}]})",
       R"({"choices":[{"delta":{},"finish_reason":"tool_calls"}]})", "[DONE]"});
  ASSERT_EQ(chunks.size(), 1u);
  EXPECT_TRUE(chunks[0].done);
  ASSERT_EQ(chunks[0].tool_calls.size(), 1u);
  EXPECT_EQ(chunks[0].tool_calls[0].name, "f");
  EXPECT_EQ(chunks[0].tool_calls[0].arguments, R"({"x":1})");
}

TEST(OpenAiEvents, TellThoughtsUsageAndWhyItEnded) {
  const auto parser = openai_events();
  const auto chunks =
      read(*parser, {R"({"choices":[{"delta":{"reasoning_content":"hm"}}]})",
                     R"({"choices":[{"delta":{"content":"yes"},"finish_reason":"length"}]})",
                     R"({"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":9,)"
                     R"("completion_tokens_details":{"reasoning_tokens":4}}})",
                     "[DONE]"});
  ASSERT_EQ(chunks.size(), 3u);
  EXPECT_EQ(chunks[0].thinking, "hm");
  EXPECT_EQ(chunks[1].content, "yes");
  EXPECT_EQ(chunks[2].reason, model::DoneReason::length);
  EXPECT_EQ(chunks[2].usage.prompt_tokens, 3);
  EXPECT_EQ(chunks[2].usage.output_tokens, 9);
  EXPECT_EQ(chunks[2].usage.reasoning_tokens, 4);
}

TEST(OpenAiEvents, TellWhatWasCountedBeforeTheEnd) {
  const auto vllm = openai_events();
  const auto chunks = read(*vllm, {R"({"choices":[{"delta":{"role":"assistant","content":""}}],)"
                                   R"("usage":{"prompt_tokens":7,"completion_tokens":0}})",
                                   R"({"choices":[{"delta":{"content":"a b"}}],)"
                                   R"("usage":{"prompt_tokens":7,"completion_tokens":2}})"});
  ASSERT_EQ(chunks.size(), 1u);
  EXPECT_EQ(chunks[0].usage.prompt_tokens, 7);
  EXPECT_EQ(chunks[0].usage.output_tokens, 2);
  const auto llama = openai_events();
  const auto timed =
      read(*llama, {R"({"choices":[{"delta":{"content":"a"}}],"timings":{"cache_n":4,"prompt_n":3,)"
                    R"("prompt_ms":1.5,"predicted_n":1,"predicted_ms":0.25}})"});
  ASSERT_EQ(timed.size(), 1u);
  EXPECT_EQ(timed[0].usage.prompt_tokens, 7);
  EXPECT_EQ(timed[0].usage.prompt_cached_tokens, 4);
  EXPECT_EQ(timed[0].usage.output_tokens, 1);
  EXPECT_EQ(timed[0].usage.prompt_eval, std::chrono::microseconds(1500));
  EXPECT_EQ(timed[0].usage.eval, std::chrono::microseconds(250));
}

TEST(OpenAiEvents, DoNotTakeACutAnswerForAWholeOne) {
  const auto parser = openai_events();
  const auto chunks = read(*parser, {R"({"choices":[{"delta":{"content":"half"}}]})"});
  ASSERT_EQ(chunks.size(), 1u);
  EXPECT_FALSE(chunks[0].done);
}

TEST(OpenAiEvents, PassOnWhatTheServerSaysOfItself) {
  std::deque<model::Chunk> chunks;
  const auto taken =
      openai_events()->take(R"({"error":{"code":429,"message":"slow down"}})", chunks);
  ASSERT_FALSE(taken.has_value());
  EXPECT_EQ(taken.error().code, Errc::overloaded);
  EXPECT_EQ(taken.error().what, "slow down");
  const auto nonsense = openai_events()->take("<html>", chunks);
  ASSERT_FALSE(nonsense.has_value());
  EXPECT_EQ(nonsense.error().code, Errc::corrupt);
}

TEST(OllamaEvents, ReadBothOfItsStreams) {
  const auto parser = ollama_events();
  const auto chunks = read(
      *parser, {R"({"message":{"content":"a","tool_calls":[{"function":{"name":"f",)"
                R"("arguments":{"x":1}}}]},"done":false})",
                R"({"response":"b","done":false})",
                R"({"done":true,"done_reason":"length","eval_count":4,"prompt_eval_count":2})"});
  ASSERT_EQ(chunks.size(), 3u);
  EXPECT_EQ(chunks[0].tool_calls[0].arguments, R"({"x":1})");
  EXPECT_EQ(chunks[1].content, "b");
  EXPECT_TRUE(chunks[2].done);
  EXPECT_EQ(chunks[2].usage.output_tokens, 4);
}

TEST(ExternalBodies, SendOnlyWhatTheClientAskedFor) {
  const json::object body = body_of(chat_body(BackendKind::openai, "m", chat("hi"), {}));
  EXPECT_EQ(body.at("model").get_string(), "m");
  EXPECT_FALSE(body.contains("temperature"));
  EXPECT_FALSE(body.contains("max_tokens"));
  EXPECT_FALSE(body.contains("tools"));
}

TEST(ExternalBodies, NameOptionsAsEachServerDoes) {
  model::ChatRequest request = chat("hi");
  request.common.options = {{"num_predict", 5}, {"top_k", 3}, {"repeat_penalty", 1.5}};
  const json::object plain = body_of(chat_body(BackendKind::openai, "m", request, {}));
  EXPECT_EQ(plain.at("max_tokens").to_number<int>(), 5);
  EXPECT_FALSE(plain.contains("top_k"));
  const json::object vllm = body_of(chat_body(BackendKind::vllm, "m", request, {}));
  EXPECT_EQ(vllm.at("top_k").to_number<int>(), 3);
  EXPECT_TRUE(vllm.contains("repetition_penalty"));
  EXPECT_TRUE(vllm.at("stream_options").at("continuous_usage_stats").get_bool());
  EXPECT_FALSE(plain.at("stream_options").get_object().contains("continuous_usage_stats"));
  const json::object ollama = body_of(chat_body(BackendKind::ollama, "m", request, {}));
  EXPECT_EQ(ollama.at("options").at("num_predict").to_number<int>(), 5);
}

TEST(ExternalBodies, GoOnFromATextWithWhatIsLeftOfTheLimit) {
  model::ChatRequest request = chat("hi");
  request.common.options = {{"num_predict", 5}};
  const Emitted emitted{"so far", 2};
  for (const BackendKind kind : {BackendKind::vllm, BackendKind::llama_server}) {
    const json::object body = body_of(chat_body(kind, "m", request, emitted));
    EXPECT_EQ(body.at("messages").get_array().back().at("content").get_string(), "so far");
    EXPECT_EQ(body.at("max_tokens").to_number<int>(), 3);
    EXPECT_TRUE(body.at("continue_final_message").get_bool()) << to_string(kind);
    EXPECT_FALSE(body.at("add_generation_prompt").get_bool()) << to_string(kind);
  }
  const auto plain = chat_body(BackendKind::openai, "m", request, emitted);
  ASSERT_FALSE(plain.has_value());
  EXPECT_EQ(plain.error().code, Errc::unsupported);
}

TEST(ExternalBodies, ContinueARawPromptAsOneText) {
  model::GenerateRequest request;
  request.prompt = "once ";
  request.raw = true;
  const auto upstream = generate_body(BackendKind::openai, "m", request, {"upon", 1});
  ASSERT_TRUE(upstream.has_value());
  EXPECT_EQ(upstream->target, "/v1/completions");
  EXPECT_EQ(body_of(upstream).at("prompt").get_string(), "once upon");
}

// Ollama's Go client sends both fields with every request.
TEST(ExternalBodies, TakeAnEmptySystemAndTemplateForNone) {
  model::GenerateRequest request;
  request.prompt = "hi";
  request.system = request.template_text = "";
  for (const BackendKind kind : {BackendKind::vllm, BackendKind::llama_server}) {
    const json::object body = body_of(generate_body(kind, "m", request, {}));
    EXPECT_EQ(body.at("messages").get_array().size(), 1u);
  }
  const json::object ollama = body_of(generate_body(BackendKind::ollama, "m", request, {}));
  EXPECT_FALSE(ollama.contains("system"));
  EXPECT_FALSE(ollama.contains("template"));
}

TEST(ExternalBodies, KeepTextsAndImagesInTheirOrder) {
  model::Message message{.role = "user", .content = "first"};
  message.add_image("\x89PNG");
  message.content += "\nsecond";
  message.add_image("RIFF....WAVE");
  model::ChatRequest request;
  request.messages = {message};
  const auto kinds = [&request] {
    const auto body = chat_body(BackendKind::vllm, "m", request, {});
    std::string told;
    for (const json::value& part :
         json::parse(body->body).at("messages").at(0).at("content").as_array()) {
      told += part.at("type").as_string();
      if (part.as_object().contains("text"))
        told += fmt::format("({})", part.at("text").as_string().c_str());
      told += ' ';
    }
    return told;
  };
  EXPECT_EQ(kinds(), "text(first) image_url text(second) input_audio ");
  request.messages[0].image_places.clear();
  EXPECT_EQ(kinds(), "text(first\nsecond) image_url input_audio ");
}

TEST(ExternalBodies, TellHowMuchToThinkAsEachServerTakesIt) {
  const auto body = [](BackendKind kind, model::Think think) {
    model::ChatRequest request;
    request.common.think = std::move(think);
    request.messages = {{.role = "assistant", .content = "so", .thinking = "hm"}};
    return json::parse(chat_body(kind, "m", request, {})->body).as_object();
  };
  const model::Think off{.is_set = true}, most{.is_set = true, .enabled = true, .level = "max"};
  for (const BackendKind kind : {BackendKind::vllm, BackendKind::llama_server}) {
    EXPECT_EQ(body(kind, off).at("chat_template_kwargs").at("enable_thinking"), false);
    EXPECT_FALSE(body(kind, {}).contains("chat_template_kwargs"));
    EXPECT_EQ(body(kind, most).at("reasoning_effort"), "high");
    EXPECT_EQ(body(kind, most).at("messages").at(0).at("reasoning_content"), "hm");
  }
  EXPECT_EQ(body(BackendKind::openai, off).at("reasoning_effort"), "none");
  EXPECT_EQ(body(BackendKind::openai, most).at("reasoning_effort"), "xhigh");
  EXPECT_FALSE(body(BackendKind::openai, {}).contains("reasoning_effort"));
  EXPECT_FALSE(
      body(BackendKind::openai, {}).at("messages").at(0).as_object().contains("reasoning_content"));
}

TEST(BackendDialect, IsLearnedFromRefusals) {
  BackendDialect dialect;
  model::ChatRequest request;
  request.messages = {{.role = "user", .content = "hi"}};
  request.common.options["num_predict"] = 9;
  request.common.think = {.is_set = true};
  const UpstreamRequest first = *chat_body(BackendKind::openai, "o9", request, {});
  EXPECT_EQ(dialect.adapt(first).body, first.body);
  EXPECT_FALSE(dialect.learn(first, {Errc::invalid_argument, "400: no such model"}));
  EXPECT_TRUE(dialect.learn(first, {Errc::invalid_argument,
                                    "Unsupported parameter: 'max_tokens' is not supported with "
                                    "this model. Use 'max_completion_tokens' instead."}));
  const UpstreamRequest second = dialect.adapt(first);
  const json::value body = json::parse(second.body);
  EXPECT_EQ(body.at("max_completion_tokens"), 9);
  EXPECT_FALSE(body.as_object().contains("max_tokens"));
  const Error effort{Errc::invalid_argument, "'reasoning_effort' does not support 'none'"};
  EXPECT_TRUE(dialect.learn(second, effort));
  const UpstreamRequest third = dialect.adapt(first);
  EXPECT_FALSE(json::parse(third.body).as_object().contains("reasoning_effort"));
  EXPECT_FALSE(dialect.learn(third, effort)) << "asked again for ever";
}

TEST(ExternalBodies, ReadEmbeddingsOfBothKinds) {
  const auto openai =
      read_embedding(R"({"data":[{"embedding":[1,2]}],"usage":{"prompt_tokens":4}})", 1);
  ASSERT_TRUE(openai.has_value());
  EXPECT_EQ(openai->vectors[0], (std::vector<float>{1, 2}));
  EXPECT_EQ(openai->prompt_tokens, 4);
  EXPECT_TRUE(read_embedding(R"({"embeddings":[[1],[2]]})", 2).has_value());
  EXPECT_FALSE(read_embedding(R"({"embeddings":[[1]]})", 2).has_value());
  EXPECT_FALSE(read_embedding("[]", 1).has_value());
}

TEST(BackendSpec, TakesWhatPeoplePaste) {
  const auto spec = make_backend("https://api.example.org/v1/", "");
  ASSERT_TRUE(spec.has_value());
  EXPECT_EQ(spec->url, "https://api.example.org");
  EXPECT_EQ(spec->name, "api.example.org-443");
  EXPECT_EQ(make_backend("box:11434", "")->url, "http://box:11434");
  EXPECT_FALSE(make_backend("ftp://x", "").has_value());
  for (const auto* url : {"", "http://u:secret@x", "u@x", "http://x/?a=b", "http://x#a"}) {
    EXPECT_FALSE(make_backend(url, "x").has_value()) << url;
  }
  for (const auto* name : {"../../etc", ".", ".."}) {
    EXPECT_FALSE(make_backend("http://x", name).has_value()) << name;
  }
  EXPECT_FALSE(parse_backend_kind("tgi").has_value());
}

TEST(BackendSpec, SurvivesBeingWritten) {
  BackendSpec spec = *make_backend("http://box:8000", "rack");
  spec.kind = BackendKind::vllm;
  spec.models = {"a", "b"};
  spec.key_digest = "12ab";
  const auto read = read_backend(write_backend(spec));
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(*read, spec);
}

}  // namespace
}  // namespace om::engine
