// Answers over the failures of a foreign server and of our own nodes, over the simulated network.
#include "generation/federated_answer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

#include "base/check.h"
#include "http/server.h"
#include "sim/world.h"

namespace om::generation {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kPromptTokens = 7;

// What one holder does when it is asked.
struct Turn {
  std::vector<std::string> words;
  std::optional<Error> error;  // After the words; of our nodes without words: they refuse.
};

class ScriptedAnswer final : public Answer {
 public:
  explicit ScriptedAnswer(Turn turn) : turn_(std::move(turn)) {}
  io::Task<Result<model::Chunk>> next() override {
    if (said_ == turn_.words.size() && turn_.error) co_return fail(*turn_.error);
    model::Chunk chunk;
    chunk.done = said_ == turn_.words.size();
    if (!chunk.done) chunk.content = turn_.words[said_++];
    chunk.usage = counted();
    co_return chunk;
  }
  const Route& route() const override { return route_; }
  model::Usage counted() const override {
    model::Usage usage;
    usage.prompt_tokens = kPromptTokens;
    usage.output_tokens = static_cast<int64_t>(said_);
    return usage;
  }

 private:
  Turn turn_;
  size_t said_ = 0;
  Route route_{.node = "own"};
};

class OwnNodes final : public Generation {
 public:
  std::deque<Turn> turns;
  std::vector<model::ChatRequest> asked;

  io::Task<Result<std::unique_ptr<Answer>>> chat(model::ChatRequest request, io::Call) override {
    asked.push_back(std::move(request));
    CHECK(!turns.empty(), "our nodes are asked too often");
    Turn turn = std::move(turns.front());
    turns.pop_front();
    if (turn.words.empty() && turn.error) co_return fail(*turn.error);
    co_return std::make_unique<ScriptedAnswer>(std::move(turn));
  }
  io::Task<Result<std::unique_ptr<Answer>>> generate(model::GenerateRequest, io::Call) override {
    co_return fail(Errc::unsupported, "chats only");
  }
  io::Task<Result<model::Embedding>> embed(model::EmbedRequest, io::Call) override {
    co_return fail(Errc::unsupported, "chats only");
  }
  io::Task<Result<int64_t>> count_tokens(model::ChatRequest, io::Call) override {
    co_return fail(Errc::unsupported, "chats only");
  }
  Result<Decision> dry_run(const model::ChatRequest&) override {
    return fail(Errc::unsupported, "it is not known");
  }
  Result<Decision> dry_run(const model::GenerateRequest&) override {
    return fail(Errc::unsupported, "it is not known");
  }
  std::string explain(const std::string&) const override { return {}; }
};

struct Outcome {
  std::optional<Error> error;
  std::string text;
  model::Chunk last;
};

// Our nodes, and a vLLM or an Ollama.
class Federation {
 public:
  OwnNodes own;
  std::deque<Turn> turns;  // Of the other. One with an error breaks off, or refuses with 500.
  int asked = 0;           // Of it.

  explicit Federation(engine::BackendKind kind = engine::BackendKind::vllm)
      : kind_(kind),
        server_(world().world(), {},
                [this](http::Request& request, http::BodyReader& body,
                       http::ResponseWriter& response) { return speak(request, body, response); }),
        client_(world().world()),
        backends_(world().world(), client_),
        choice_(own, backends_) {}

  Outcome chat(int limit, bool is_own = true) {
    Outcome outcome;
    world().run(run(limit, is_own, outcome));
    return outcome;
  }

 private:
  sim::World& world() { return sim_; }

  io::Task<void> speak(http::Request& request, http::BodyReader& body,
                       http::ResponseWriter& response) {
    const auto read = co_await body.read_all(1 << 20);
    if (!read) co_return;
    if (request.path == "/api/tags") {
      (void)co_await response.send(200, "application/json", R"({"models":[{"name":"m"}]})");
      co_return;
    }
    if (request.path == "/v1/models") {
      (void)co_await response.send(200, "application/json", R"({"data":[{"id":"m"}]})");
      co_return;
    }
    asked++;
    CHECK(!turns.empty(), "the backend is asked too often");
    const Turn turn = std::move(turns.front());
    turns.pop_front();
    if (turn.words.empty()) co_return (void) co_await response.send(500, "text/plain", "no");
    (void)co_await response.start(200, "text/event-stream");
    for (size_t i = 0; i < turn.words.size(); i++) {
      (void)co_await response.write(event_of(turn.words[i], i + 1));
    }
    if (turn.error) co_return;
    (void)co_await response.write(is_ollama() ? "{\"message\":{\"content\":\"\"},\"done\":true}\n"
                                              : "data: {\"choices\":[{\"delta\":{},"
                                                "\"finish_reason\":\"stop\"}]}\n\n"
                                                "data: [DONE]\n\n");
    (void)co_await response.finish();
  }

  bool is_ollama() const { return kind_ == engine::BackendKind::ollama; }

  std::string event_of(std::string_view word, size_t said) const {
    if (is_ollama()) return fmt::format("{{\"message\":{{\"content\":\"{}\"}}}}\n", word);
    return fmt::format(
        "data: {{\"choices\":[{{\"delta\":{{\"content\":\"{}\"}}}}],\"usage\":"
        "{{\"prompt_tokens\":{},\"completion_tokens\":{}}}}}\n\n",
        word, kPromptTokens, said);
  }

  io::Task<void> run(int limit, bool is_own, Outcome& outcome) {
    const auto at = server_.listen(io::Endpoint::tcp("127.0.0.1", 0));
    CHECK(at.has_value());
    engine::BackendSpec spec = *engine::make_backend(fmt::format("http://{}", at->str()), "far");
    spec.kind = kind_;
    backends_.put(std::move(spec), "");
    while (!backends_.any_has("m")) {
      (void)co_await world().clock().sleep_for(std::chrono::milliseconds(10));
    }
    co_await ask(limit, is_own, outcome);
    co_await backends_.stop();
    co_await server_.stop(std::chrono::seconds(1));
  }

  io::Task<void> ask(int limit, bool is_own, Outcome& outcome) {
    model::ChatRequest request;
    request.common.model = "m";
    request.common.options["num_predict"] = limit;
    request.messages.push_back({.role = "user", .content = "?"});
    FederatedAnswer answer(world().world(), own, is_own, choice_, std::move(request), {});
    if (auto opened = co_await answer.open(); !opened) {
      outcome.error = std::move(opened).error();
      co_return;
    }
    while (!outcome.last.done) {
      auto chunk = co_await answer.next();
      if (!chunk) {
        outcome.error = std::move(chunk).error();
        co_return;
      }
      outcome.text += chunk->content;
      outcome.last = std::move(*chunk);
    }
  }

  const engine::BackendKind kind_;
  sim::World sim_{1};
  http::Server server_;
  http::Client client_;
  engine::Backends backends_;
  HolderChoice choice_;
};

const Error kFull{Errc::overloaded, "server busy"};
const Error kDied{Errc::unavailable, "it died"};

TEST(FederatedAnswer, EndsAtItsLimitThoughWhoSaidTheLastTokenBrokeOff) {
  Federation federation;
  federation.turns = {{{"a", "b", "c"}, kDied}};
  const Outcome outcome = federation.chat(3, false);
  EXPECT_FALSE(outcome.error);
  EXPECT_EQ(outcome.text, "abc");
  EXPECT_EQ(outcome.last.reason, model::DoneReason::length);
  EXPECT_EQ(outcome.last.usage.output_tokens, 3);
  EXPECT_EQ(outcome.last.usage.prompt_tokens, kPromptTokens);
  EXPECT_EQ(federation.asked, 1);
}

TEST(FederatedAnswer, GoesOnAtOurNodesBehindWhatWasSaid) {
  Federation federation;
  federation.own.turns = {{{}, kDied}, {{"c"}, {}}};
  federation.turns = {{{"a", "b"}, kDied}};
  const Outcome outcome = federation.chat(10);
  EXPECT_FALSE(outcome.error);
  EXPECT_EQ(outcome.text, "abc");
  EXPECT_EQ(outcome.last.usage.output_tokens, 3);
  EXPECT_EQ(outcome.last.usage.prompt_tokens, kPromptTokens);
  ASSERT_EQ(federation.own.asked.size(), 2u);
  const model::ChatRequest& second = federation.own.asked[1];
  EXPECT_EQ(second.messages.size(), 1u);
  EXPECT_EQ(second.common.said, "ab");
  EXPECT_EQ(second.common.options.at("num_predict").to_number<int>(), 8);
}

TEST(FederatedAnswer, CountsWhatOurNodesSaidBefore) {
  Federation federation;
  federation.own.turns = {{{"a", "b"}, kDied}};
  federation.turns = {{{"c"}, {}}};
  const Outcome outcome = federation.chat(10);
  EXPECT_FALSE(outcome.error);
  EXPECT_EQ(outcome.text, "abc");
  EXPECT_EQ(outcome.last.usage.output_tokens, 3);
  EXPECT_EQ(outcome.last.usage.prompt_tokens, kPromptTokens);
}

// It repeats what it is to go on from, or does not.
std::string over_a_seam(std::vector<std::string> before, std::vector<std::string> behind) {
  Federation federation(engine::BackendKind::ollama);
  federation.own.turns = {{std::move(before), kDied}};
  federation.turns = {{std::move(behind), {}}};
  const Outcome outcome = federation.chat(10);
  EXPECT_FALSE(outcome.error);
  return outcome.text;
}

TEST(FederatedAnswer, SaysOnceWhatAnOllamaRepeats) {
  EXPECT_EQ(over_a_seam({"the ", "fox "}, {"the fox runs ", "off"}), "the fox runs off");
  EXPECT_EQ(over_a_seam({"the ", "fox "}, {"the fox ", "runs"}), "the fox runs");
  EXPECT_EQ(over_a_seam({"the "}, {"the fox ", "runs"}), "the fox runs");
}

TEST(FederatedAnswer, LosesNothingThatAnOllamaSaysTwice) {
  EXPECT_EQ(over_a_seam({"the ", "fox "}, {"runs ", "off"}), "the fox runs off");
  EXPECT_EQ(over_a_seam({"ha "}, {"ha ", "ha"}), "ha ha ha");
  EXPECT_EQ(over_a_seam({"ha ", "ha "}, {"ha ", "ha "}), "ha ha ha ha ");
}

TEST(FederatedAnswer, TellsOfAFullQueueWhenNobodyElseAnswers) {
  Federation federation;
  federation.own.turns = {{{}, kFull}};
  federation.turns = {{}};
  const Outcome outcome = federation.chat(10);
  ASSERT_TRUE(outcome.error);
  EXPECT_EQ(outcome.error->code, Errc::overloaded);
  EXPECT_THAT(outcome.error->what, HasSubstr("backend far answered 500"));
  EXPECT_THAT(outcome.error->what, HasSubstr("server busy"));
}

TEST(FederatedAnswer, TellsWhyNobodyGoesOn) {
  Federation federation;
  federation.own.turns = {{{}, kFull}, {{}, kFull}};
  federation.turns = {{{"a"}, kDied}};
  const Outcome outcome = federation.chat(10);
  ASSERT_TRUE(outcome.error);
  EXPECT_EQ(outcome.text, "a");
  EXPECT_EQ(outcome.error->code, Errc::overloaded);
  EXPECT_THAT(outcome.error->what, HasSubstr("server busy"));
}

}  // namespace
}  // namespace om::generation
