#include "transfer/relay.h"

#include "transfer/testing/cluster.h"

namespace om::transfer {
namespace {

using testing::ClusterNode;
using testing::random_bytes;

constexpr uint64_t kMegabyte = 1 << 20;

// Node `a` passes on what `b` and `c` have.
class Relayed : public testing::ClusterWorld {
 protected:
  struct Answer {
    int status = 0;
    std::string range, body;
    bool whole = false;
  };

  Relayed() { make_nodes(3); }
  ~Relayed() override { sim_.run(server_->stop(std::chrono::seconds(0))); }

  void serve(const std::string& data) {
    digest_ = Digest::of(data);
    size_ = data.size();
    relay_ = std::make_unique<BlobRelay>(*node(0).context, node(0).links);
    server_ = std::make_unique<http::Server>(
        world_, http::ServerLimits{},
        [this](http::Request& request, http::BodyReader&, http::ResponseWriter& response) {
          return answer(request, response);
        });
    at_ = server_->listen(io::Endpoint::tcp("127.0.0.1", 0)).value();
  }
  Answer get(std::string range, std::string method = "GET") {
    Answer answer;
    sim_.run(ask(std::move(method), std::move(range), answer));
    return answer;
  }
  io::Task<void> ask(std::string method, std::string range, Answer& answer) {
    http::ClientRequest request;
    request.method = std::move(method);
    request.endpoint = at_;
    request.host = "a";
    if (!range.empty()) request.headers.set("Range", range);
    auto response = co_await client_.send(std::move(request), {});
    CHECK(response.has_value());
    answer.status = (*response)->status();
    answer.range = (*response)->headers().get("Content-Range");
    Result<bool> more = true;
    while (more && *more) more = co_await (*response)->read_some(answer.body);
    answer.whole = more.has_value();
  }
  io::Task<void> pause(io::Duration time) { (void)co_await world_.clock.sleep_for(time); }

  uint64_t size_ = 0;
  Result<void> result_;
  std::unique_ptr<http::Server> server_;
  http::Client client_{world_};

 private:
  io::Task<void> answer(http::Request& request, http::ResponseWriter& response) {
    result_ = co_await relay_->send(request, response, digest_, size_);
    if (!result_ && !response.started()) {
      (void)co_await response.send(404, "text/plain", result_.error().what);
    }
  }

  Digest digest_;
  std::unique_ptr<BlobRelay> relay_;
  io::Endpoint at_;
};

TEST_F(Relayed, GivesTheWholeBlobAndPartsOfIt) {
  const std::string data = random_bytes(3 * kMegabyte, 1);
  put(node(1), data);
  serve(data);
  const Answer whole = get("");
  EXPECT_EQ(whole.status, 200);
  EXPECT_TRUE(whole.whole);
  EXPECT_TRUE(whole.body == data);
  const Answer part = get("bytes=1000-1999");
  EXPECT_EQ(part.status, 206);
  EXPECT_EQ(part.range, fmt::format("bytes 1000-1999/{}", data.size()));
  EXPECT_TRUE(part.body == data.substr(1000, 1000));
  EXPECT_TRUE(get("bytes=-10").body == data.substr(data.size() - 10));
  EXPECT_TRUE(get(fmt::format("bytes={}-", data.size() - 5)).body == data.substr(data.size() - 5));
  EXPECT_EQ(get(fmt::format("bytes={}-", data.size())).status, 416);
  const Answer head = get("", "HEAD");
  EXPECT_EQ(head.status, 200);
  EXPECT_TRUE(head.body.empty());
  EXPECT_FALSE(has(node(0), data));
}

TEST_F(Relayed, SaysThatNobodyHasIt) {
  serve("nowhere");
  EXPECT_EQ(get("").status, 404);
}

TEST_F(Relayed, WaitsForWordOfWhoHasIt) {
  const std::string data = random_bytes(kMegabyte, 4);
  serve(data);
  Answer answer;
  io::TaskGroup group(world_.executor, world_.clock);
  group.spawn(ask("GET", "", answer));
  sim_.run(pause(std::chrono::seconds(2)));
  EXPECT_EQ(answer.status, 0);
  put(node(1), data);
  sim_.run(group.wait());
  EXPECT_EQ(answer.status, 200);
  EXPECT_TRUE(answer.body == data);
}

TEST_F(Relayed, GoesOnFromAnotherNodeWhenOneBreaksOff) {
  const std::string data = random_bytes(4 * kMegabyte, 2);
  for (const size_t i : {1U, 2U}) {
    put(node(i), data);
    node(i).slow_down = kMegabyte;
  }
  serve(data);
  Answer answer;
  io::TaskGroup group(world_.executor, world_.clock);
  group.spawn(ask("GET", "", answer));
  sim_.run(pause(std::chrono::seconds(2)));
  // Whichever it asked.
  const size_t asked = node(1).bytes_asked > 0 ? 1 : 2;
  EXPECT_GT(node(asked).bytes_asked, 0U);
  sim_.run(node(asked).kill());
  sim_.run(group.wait());
  EXPECT_TRUE(answer.whole);
  EXPECT_TRUE(answer.body == data);
  EXPECT_TRUE(result_) << result_.error().what;
}

TEST_F(Relayed, EndsTheConnectionWhenNoNodeIsLeft) {
  const std::string data = random_bytes(4 * kMegabyte, 3);
  put(node(1), data);
  node(1).slow_down = kMegabyte;
  serve(data);
  Answer answer;
  io::TaskGroup group(world_.executor, world_.clock);
  group.spawn(ask("GET", "", answer));
  sim_.run(pause(std::chrono::seconds(2)));
  sim_.run(node(1).kill());
  sim_.run(group.wait());
  EXPECT_FALSE(answer.whole);  // The client sees that bytes are missing.
  EXPECT_FALSE(result_);
}

}  // namespace
}  // namespace om::transfer
