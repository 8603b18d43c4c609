// A foreign server on its bad days, over the simulated network: how long we wait for it.
#include "engine/external/backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "http/server.h"
#include "io/co_assert_for_test.h"
#include "sim/world.h"

namespace om::engine {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::HasSubstr;

constexpr std::string_view kWord = "data: {\"choices\":[{\"delta\":{\"content\":\"word \"}}]}\n\n";
constexpr std::string_view kEnd =
    "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
    "data: [DONE]\n\n";

class ForeignServer {
 public:
  explicit ForeignServer(BackendKind kind = BackendKind::openai)
      : server_(world().world(), {},
                [this](http::Request& request, http::BodyReader& body,
                       http::ResponseWriter& response) { return speak(request, body, response); }),
        client_(world().world()) {
    auto at = server_.listen(io::Endpoint::tcp("127.0.0.1", 0));
    EXPECT_TRUE(at.has_value());
    if (!at) return;
    BackendSpec spec = *make_backend(fmt::format("http://{}", at->str()), "far");
    spec.kind = kind;
    backend_.emplace(world().world(), client_, std::move(spec), "");
  }

  // What it does.
  io::Duration silent_before_head{}, silent_after_word{}, between_words{};
  int words = 1;
  size_t embedding_bytes = 0;
  int64_t cached = 0;        // Of a prompt of 1000 tokens.
  bool pings = false;        // Meanwhile, where the answer has begun.
  bool one_by_one = false;   // The next is begun when the one before has ended.
  bool tells_models = true;  // In time.
  bool knows_itself = true;  // Else its own paths get 500.
  std::string key;           // Who asks for its models without it gets 401.
  io::Duration silent_before_models{};
  int checks = 0;  // That it was asked for its models.

  sim::World& world() { return sim_; }
  io::TimePoint now() { return sim_.clock().now(); }
  Backend& backend() { return *backend_; }

  io::Task<Result<std::unique_ptr<ExternalAnswer>>> ask(io::Call call = {}) {
    model::ChatRequest chat;
    chat.messages.push_back({.role = "user", .content = std::string(4000, 'x')});
    CO_TRY(auto asked, chat_body(backend_->kind(), "m", chat, {}));
    co_return co_await backend_->ask(std::move(asked), std::move(call));
  }
  io::Task<Result<std::string>> embed(size_t texts) {
    model::EmbedRequest request;
    request.input.resize(texts);
    co_return co_await backend_->embed(embed_body(backend_->kind(), "m", request), texts, {});
  }
  using Body = io::Task<void> (*)(ForeignServer&);
  void run(Body body) { sim_.run(run_and_stop(body)); }

 private:
  io::Task<void> speak(http::Request& request, http::BodyReader& body,
                       http::ResponseWriter& response) {
    const auto read = co_await body.read_all(1 << 20);
    if (!read) co_return;
    if (request.path == "/api/version") {
      (void)co_await response.send(knows_itself ? 200 : 500, "application/json",
                                   R"({"version":"0.17.4"})");
      co_return;
    }
    if (request.path == "/props") co_return (void) co_await response.send(404, "text/plain", "");
    if (request.path == "/v1/models") {
      checks++;
      if (!tells_models) co_return co_await be_silent(request, minutes(60), nullptr);
      co_await be_silent(request, silent_before_models, nullptr);
      if (!key.empty() && request.headers.get("Authorization") != "Bearer " + key) {
        co_return (void) co_await response.send(401, "text/plain", "who are you?");
      }
      (void)co_await response.send(200, "application/json", R"({"data":[{"id":"m"}]})");
      co_return;
    }
    while (one_by_one && busy_ && !request.cancel.cancelled()) {
      co_await be_silent(request, seconds(1), nullptr);
    }
    if (request.cancel.cancelled()) co_return;
    busy_ = true;
    co_await answer(request, response);
    busy_ = false;
  }

  io::Task<void> answer(http::Request& request, http::ResponseWriter& response) {
    co_await be_silent(request, silent_before_head, nullptr);
    if (request.path == "/v1/embeddings") {
      co_return (void) co_await response.send(200, "application/json",
                                              std::string(embedding_bytes, ' '));
    }
    const auto started = co_await response.start(200, "text/event-stream");
    for (int i = 0; started && i < words; i++) {
      if (i > 0) co_await be_silent(request, between_words, nullptr);
      (void)co_await response.write(kWord);
    }
    co_await be_silent(request, silent_after_word, pings ? &response : nullptr);
    (void)co_await response.write(
        fmt::format("data: {{\"choices\":[],\"timings\":{{\"cache_n\":{},\"prompt_n\":{}}}}}\n\n",
                    cached, 1000 - cached));
    (void)co_await response.write(kEnd);
    (void)co_await response.finish();
  }

  io::Task<void> be_silent(http::Request& request, io::Duration time,
                           http::ResponseWriter* pinged) {
    for (const io::TimePoint end = now() + time; now() < end;) {
      const auto slept = co_await sim_.clock().sleep_for(std::min<io::Duration>(time, seconds(5)),
                                                         {io::kNever, request.cancel});
      if (!slept) co_return;
      if (pinged) (void)co_await pinged->write(": ping\n\n");
    }
  }

  io::Task<void> run_and_stop(Body body) {
    backend_->start();
    co_await body(*this);
    co_await backend_->stop();
    client_.close_idle();
    co_await server_.stop(seconds(1));
  }

  sim::World sim_{1};
  http::Server server_;
  http::Client client_;
  std::optional<Backend> backend_;
  bool busy_ = false;
};

// After its first word: unavailable, in so much time.
io::Task<void> expect_silent(ForeignServer& server, io::Duration at_least, io::Duration at_most) {
  auto answer = co_await server.ask();
  CO_ASSERT(answer.has_value(), answer.error().what);
  const auto word = co_await (*answer)->next();
  CO_ASSERT(word.has_value());
  EXPECT_EQ(word->content, "word ");
  const io::TimePoint before = server.now();
  const auto more = co_await (*answer)->next();
  CO_ASSERT(!more.has_value());
  EXPECT_EQ(more.error().code, Errc::unavailable);
  EXPECT_THAT(more.error().what, HasSubstr("fell silent"));
  EXPECT_GE(server.now() - before, at_least);
  EXPECT_LE(server.now() - before, at_most);
}

TEST(Backend, IsGivenUpThoughItKeepsTheConnectionOpen) {
  ForeignServer server;
  server.silent_after_word = minutes(60);
  server.pings = true;
  server.run([](ForeignServer& far) -> io::Task<void> {
    co_await expect_silent(far, BackendPace::kNextUnknown, BackendPace::kNextUnknown + seconds(3));
  });
}

TEST(Backend, IsAskedAgainWhatItIsAfterItWasInTrouble) {
  ForeignServer server(BackendKind::unknown);
  server.knows_itself = false;
  server.run([](ForeignServer& far) -> io::Task<void> {
    (void)co_await far.world().clock().sleep_for(seconds(2));
    EXPECT_EQ(far.backend().kind(), BackendKind::openai);
    far.knows_itself = true;
    (void)co_await far.world().clock().sleep_for(2 * Backend::kCheckInterval);
    EXPECT_EQ(far.backend().kind(), BackendKind::ollama);
  });
}

TEST(Backend, SaysWhetherItWasAskedYet) {
  ForeignServer server;
  server.silent_before_models = seconds(2);
  server.run([](ForeignServer& far) -> io::Task<void> {
    (void)co_await far.world().clock().sleep_for(seconds(1));
    EXPECT_FALSE(far.backend().was_checked());
    (void)co_await far.world().clock().sleep_for(seconds(2));
    EXPECT_TRUE(far.backend().was_checked());
  });
}

TEST(Backend, IsCheckedAtOnceWhenItsKeyComes) {
  ForeignServer server;
  server.key = "secret";
  server.run([](ForeignServer& far) -> io::Task<void> {
    (void)co_await far.world().clock().sleep_for(seconds(1));
    CO_ASSERT(far.backend().error().has_value());
    EXPECT_EQ(far.backend().error()->code, Errc::unauthenticated);
    far.backend().set_key("secret");
    (void)co_await far.world().clock().sleep_for(seconds(1));
    EXPECT_TRUE(far.backend().healthy());
    EXPECT_NE(far.backend().find("m"), nullptr);
  });
}

TEST(Backend, IsCheckedAgainWhenItsKeyComesDuringACheck) {
  ForeignServer server;
  server.key = "secret";
  server.silent_before_models = seconds(2);
  server.run([](ForeignServer& far) -> io::Task<void> {
    (void)co_await far.world().clock().sleep_for(seconds(1));
    EXPECT_EQ(far.checks, 1);
    far.backend().set_key("secret");
    (void)co_await far.world().clock().sleep_for(milliseconds(1500));
    EXPECT_FALSE(far.backend().was_checked()) << "only without it";
    (void)co_await far.world().clock().sleep_for(milliseconds(2500));
    EXPECT_TRUE(far.backend().was_checked());
    EXPECT_TRUE(far.backend().healthy());
    EXPECT_NE(far.backend().find("m"), nullptr);
  });
}

TEST(Backend, IsCheckedOnceForAKeyThatIsToldTwice) {
  ForeignServer server;
  server.run([](ForeignServer& far) -> io::Task<void> {
    for (int i = 0; i < 2; i++) {
      (void)co_await far.world().clock().sleep_for(seconds(1));
      far.backend().set_key("secret");
    }
    (void)co_await far.world().clock().sleep_for(seconds(1));
    EXPECT_EQ(far.checks, 2) << "the first one, and the one with the key";
    (void)co_await far.world().clock().sleep_for(Backend::kCheckInterval);
    EXPECT_EQ(far.checks, 3) << "the usual one";
  });
}

TEST(Backend, IsGivenUpSoonWhenItsChecksFailToo) {
  ForeignServer server;
  server.silent_after_word = minutes(60);
  server.tells_models = false;
  server.run([](ForeignServer& far) -> io::Task<void> {
    co_await expect_silent(far, SilenceLimit::kLostMax, seconds(20));
  });
}

io::Task<void> answer_whole(ForeignServer& server, int times = 1) {
  for (int i = 0; i < times; i++) {
    auto answer = co_await server.ask();
    CO_ASSERT(answer.has_value(), answer.error().what);
    bool done = false;
    while (!done) {
      const auto chunk = co_await (*answer)->next();
      CO_ASSERT(chunk.has_value(), chunk.error().what);
      done = chunk->done;
    }
  }
}

TEST(Backend, IsGivenUpSoonerOnceItsGapsAreKnown) {
  ForeignServer server;
  server.words = 30;
  server.between_words = milliseconds(200);
  server.run([](ForeignServer& far) -> io::Task<void> {
    co_await answer_whole(far);
    far.words = 1;
    far.silent_after_word = minutes(60);
    co_await expect_silent(far, BackendPace::kNextMin, BackendPace::kNextMin + seconds(3));
  });
}

TEST(Backend, IsGivenTheTimeThatItsGapsTake) {
  ForeignServer server;
  server.words = 30;
  server.between_words = seconds(10);
  server.run([](ForeignServer& far) -> io::Task<void> {
    co_await answer_whole(far);
    far.words = 1;
    far.silent_after_word = minutes(60);
    co_await expect_silent(far, seconds(80), seconds(100));
  });
}

// Before its first word.
io::Task<void> expect_no_answer(ForeignServer& server, io::Duration at_least,
                                io::Duration at_most) {
  server.silent_before_head = minutes(60);
  const io::TimePoint before = server.now();
  const auto answer = co_await server.ask();
  EXPECT_FALSE(answer.has_value());
  EXPECT_GE(server.now() - before, at_least);
  EXPECT_LE(server.now() - before, at_most);
}

TEST(Backend, IsGivenTheTimeThatItsPromptsTake) {
  ForeignServer server(BackendKind::llama_server);
  server.silent_before_head = seconds(30);
  server.run([](ForeignServer& far) -> io::Task<void> {
    co_await answer_whole(far, 8);
    co_await expect_no_answer(far, seconds(240), seconds(300));
  });
}

TEST(Backend, ThatAnswersQuicklyIsGivenUpInTwoMinutes) {
  ForeignServer server(BackendKind::llama_server);
  server.silent_before_head = seconds(1);
  server.run([](ForeignServer& far) -> io::Task<void> {
    co_await answer_whole(far, 8);
    co_await expect_no_answer(far, minutes(2), minutes(2) + seconds(3));
  });
}

io::Task<void> ask_many(ForeignServer& far, int count, std::vector<Result<void>>& ends) {
  const auto ask = [](ForeignServer& server, std::vector<Result<void>>& into) -> io::Task<void> {
    auto answer = co_await server.ask();
    Result<model::Chunk> chunk = fail(Errc::internal, "nothing yet");
    if (answer) chunk = co_await (*answer)->next();
    while (chunk && !chunk->done) chunk = co_await (*answer)->next();
    Result<void> end;
    if (!answer) end = fail(answer.error());
    if (answer && !chunk) end = fail(chunk.error());
    into.push_back(std::move(end));
  };
  io::TaskGroup group(far.world().world().executor, far.world().clock());
  for (int i = 0; i < count; i++) group.spawn(ask(far, ends));
  co_await group.wait();
  co_await group.stop();
}

TEST(Backend, MayBeBusyWithOthersOfOurs) {
  ForeignServer server(BackendKind::llama_server);
  server.silent_before_head = seconds(1);
  server.run([](ForeignServer& far) -> io::Task<void> {
    co_await answer_whole(far, 8);
    far.one_by_one = true;
    far.words = 40;
    far.between_words = seconds(1);
    std::vector<Result<void>> ends;
    co_await ask_many(far, 10, ends);
    CO_ASSERT(ends.size() == 10);
    for (const auto& end : ends) EXPECT_TRUE(end) << end.error().what;
    ends.clear();
    co_await ask_many(far, 20, ends);
    EXPECT_FALSE(ends.back()) << "but for more than ten minutes nobody waits";
    ends.clear();
    far.silent_before_head = minutes(60);
    const io::TimePoint before = far.now();
    co_await ask_many(far, 3, ends);
    EXPECT_LE(far.now() - before, minutes(2) + seconds(3)) << "nor when it does nothing";
  });
}

TEST(Backend, ThatIsSilentToManyAtOnceFailedOnce) {
  ForeignServer server;
  server.run([](ForeignServer& far) -> io::Task<void> {
    const io::TimePoint sent = far.now();
    (void)co_await far.world().clock().sleep_for(minutes(2));
    for (int i = 0; i < 10; i++) far.backend().failed({Errc::unavailable, "silent"}, sent);
    EXPECT_TRUE(far.backend().may_be_asked());
    for (int i = 1; i < Backend::kFailuresMax; i++) {
      far.backend().failed({Errc::unavailable, "silent"}, far.now());
    }
    EXPECT_FALSE(far.backend().may_be_asked());
  });
}

TEST(Backend, ShowsNothingWithPromptsThatItHadCached) {
  ForeignServer server(BackendKind::llama_server);
  server.silent_before_head = seconds(1);
  server.cached = 990;
  server.run([](ForeignServer& far) -> io::Task<void> {
    co_await answer_whole(far, 20);
    co_await expect_no_answer(far, minutes(10), minutes(10) + seconds(3));
  });
}

TEST(Backend, ThatMayHaveToLoadAModelShowsNothingWithItsFirstWords) {
  ForeignServer server(BackendKind::openai);
  server.silent_before_head = seconds(1);
  server.run([](ForeignServer& far) -> io::Task<void> {
    co_await answer_whole(far, 20);
    co_await expect_no_answer(far, minutes(10), minutes(10) + seconds(3));
  });
}

TEST(Backend, MayLoadAModelForMinutes) {
  ForeignServer server;
  server.silent_before_head = minutes(8);
  server.run([](ForeignServer& far) -> io::Task<void> {
    auto answer = co_await far.ask();
    CO_ASSERT(answer.has_value(), answer.error().what);
    const auto word = co_await (*answer)->next();
    CO_ASSERT(word.has_value());
    const auto end = co_await (*answer)->next();
    CO_ASSERT(end.has_value());
    EXPECT_TRUE(end->done);
  });
}

TEST(Backend, ThatNeverBeginsIsGivenUp) {
  ForeignServer server;
  server.silent_before_head = minutes(60);
  server.run([](ForeignServer& far) -> io::Task<void> {
    const auto answer = co_await far.ask();
    CO_ASSERT(!answer.has_value());
    EXPECT_EQ(answer.error().code, Errc::unavailable);
    EXPECT_EQ(answer.error().what, "backend far is silent");
  });
}

TEST(Backend, MayEmbedManyTextsAtOnce) {
  ForeignServer server;
  server.embedding_bytes = 12 << 20;
  server.run([](ForeignServer& far) -> io::Task<void> {
    const auto many = co_await far.embed(64);
    CO_ASSERT(many.has_value(), many.error().what);
    EXPECT_EQ(many->size(), far.embedding_bytes);
    const auto few = co_await far.embed(2);
    CO_ASSERT(!few.has_value());
    EXPECT_EQ(few.error().code, Errc::invalid_argument) << "not its fault";
  });
}

TEST(Backend, ThatEmbedsNothingAndFailsItsChecksIsGivenUpSoon) {
  ForeignServer server;
  server.silent_before_head = minutes(60);
  server.tells_models = false;
  server.run([](ForeignServer& far) -> io::Task<void> {
    const io::TimePoint before = far.now();
    const auto embedding = co_await far.embed(1);
    CO_ASSERT(!embedding.has_value());
    EXPECT_EQ(embedding.error().code, Errc::unavailable);
    EXPECT_EQ(embedding.error().what, "backend far is silent");
    EXPECT_LE(far.now() - before, seconds(30));
  });
}

TEST(Backend, IsTriedAgainWhenTheClientOfItsTrialLeft) {
  ForeignServer server;
  server.run([](ForeignServer& far) -> io::Task<void> {
    const std::shared_ptr<Backend> backend(&far.backend(), [](Backend*) {});
    for (int i = 0; i < Backend::kFailuresMax; i++) backend->failed({Errc::internal, "no"});
    EXPECT_FALSE(backend->may_be_asked());
    (void)co_await far.world().clock().sleep_for(Backend::kOpenFirst);
    EXPECT_TRUE(backend->may_be_asked());
    {
      const BackendRequest trial(far.world().clock(), backend, "m", 0);
      EXPECT_FALSE(backend->may_be_asked());
    }
    EXPECT_TRUE(backend->may_be_asked());
  });
}

TEST(Backend, IsLeftAloneWhenTheClientLeaves) {
  ForeignServer server;
  server.silent_before_head = minutes(60);
  server.run([](ForeignServer& far) -> io::Task<void> {
    io::CancelSource client;
    const auto timer =
        far.world().clock().start_timer(far.now() + seconds(3), [&] { client.cancel(); });
    const auto answer = co_await far.ask({io::kNever, client.token()});
    far.world().clock().cancel_timer(timer);
    CO_ASSERT(!answer.has_value());
    EXPECT_EQ(answer.error().code, Errc::cancelled);
  });
}

}  // namespace
}  // namespace om::engine
