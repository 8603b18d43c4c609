// Embeddings of foreign servers, one of which hangs, over the simulated network.
#include <gtest/gtest.h>

#include <deque>

#include "base/check.h"
#include "generation/federated_generation.h"
#include "generation/scripted_for_test.h"
#include "http/server.h"
#include "io/co_assert_for_test.h"
#include "sim/world.h"

namespace om::generation {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

// Has no models, and is never asked.
class NoNodes final : public Generation {
 public:
  io::Task<Result<std::unique_ptr<Answer>>> chat(model::ChatRequest, io::Call) override {
    co_return none();
  }
  io::Task<Result<std::unique_ptr<Answer>>> generate(model::GenerateRequest, io::Call) override {
    co_return none();
  }
  io::Task<Result<model::Embedding>> embed(model::EmbedRequest, io::Call) override {
    co_return none();
  }
  io::Task<Result<int64_t>> count_tokens(model::ChatRequest, io::Call) override {
    co_return none();
  }
  Result<Decision> dry_run(const model::ChatRequest&) override { return none(); }
  Result<Decision> dry_run(const model::GenerateRequest&) override { return none(); }
  std::string explain(const std::string&) const override { return {}; }

 private:
  static std::unexpected<Error> none() { return fail(Errc::unsupported, "there are no nodes"); }
};

// Two servers that have the model: "first" hangs when it is to embed, "second" does it.
class Embedders {
 public:
  Embedders() : client_(world()), backends_(world(), client_) {
    for (const char* name : {"first", "second"}) {
      http::Server& server = servers_.emplace_back(
          world(), http::ServerLimits(),
          [this, hangs = servers_.empty()](http::Request& request, http::BodyReader& body,
                                           http::ResponseWriter& response) {
            return speak(hangs, request, body, response);
          });
      const auto at = server.listen(io::Endpoint::tcp("127.0.0.1", 0));
      CHECK(at.has_value());
      auto spec = engine::make_backend(fmt::format("http://{}", at->str()), name);
      spec->kind = engine::BackendKind::openai;
      backends_.put(std::move(*spec), "");
    }
  }

  io::Task<Result<model::Embedding>> embed(io::Call call = {}) {
    model::EmbedRequest request;
    request.model = "m";
    request.input = {"text"};
    co_return co_await generation_.embed(std::move(request), std::move(call));
  }
  bool may_ask_all() const { return backends_.servers_of("m").size() == 2; }
  io::Clock& clock() { return sim_.clock(); }

  using Body = io::Task<void> (*)(Embedders&);
  void run(Body body) { sim_.run(run_and_stop(body)); }

 private:
  io::World& world() { return sim_.world(); }

  io::Task<void> speak(bool hangs, http::Request& request, http::BodyReader& body,
                       http::ResponseWriter& response) {
    const auto read = co_await body.read_all(1 << 20);
    if (!read) co_return;
    if (request.path == "/v1/models") {
      (void)co_await response.send(200, "application/json", R"({"data":[{"id":"m"}]})");
      co_return;
    }
    if (hangs) {
      (void)co_await clock().sleep_for(minutes(60), {io::kNever, request.cancel});
      co_return;
    }
    (void)co_await response.send(200, "application/json", R"({"data":[{"embedding":[1,2]}]})");
  }

  io::Task<void> run_and_stop(Body body) {
    while (!may_ask_all()) (void)co_await clock().sleep_for(std::chrono::milliseconds(10));
    co_await body(*this);
    co_await backends_.stop();
    client_.close_idle();
    for (http::Server& server : servers_) co_await server.stop(seconds(1));
  }

  sim::World sim_{1};
  std::deque<http::Server> servers_;
  http::Client client_;
  engine::Backends backends_;
  NoNodes own_;
  testing::ModelShelf store_;
  FederatedGeneration generation_{world(), store_, own_, backends_, nullptr};
};

TEST(FederatedEmbed, IsMadeByTheNextWhereOneHangs) {
  Embedders().run([](Embedders& embedders) -> io::Task<void> {
    const auto embedding = co_await embedders.embed();
    CO_ASSERT(embedding.has_value(), embedding.error().what);
    EXPECT_EQ(embedding->vectors.size(), 1u);
    EXPECT_EQ(embedding->node, "backend/second");
    EXPECT_GE(embedding->total, minutes(5));
  });
}

TEST(FederatedEmbed, BlamesNobodyForTheTimeOfItsClient) {
  Embedders().run([](Embedders& embedders) -> io::Task<void> {
    for (int i = 0; i < engine::Backend::kFailuresMax; i++) {
      const auto embedding = co_await embedders.embed(embedders.clock().call_within(seconds(10)));
      EXPECT_FALSE(embedding.has_value());
    }
    EXPECT_TRUE(embedders.may_ask_all());
  });
}

}  // namespace
}  // namespace om::generation
