#include "transfer/peer_blobs.h"

#include <optional>

#include "transfer/metrics.h"
#include "transfer/testing/cluster.h"

namespace om::transfer {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::random_bytes;

constexpr uint64_t kMega = 1 << 20;

// One node that serves peers, asked over the network.
class PeerServer : public testing::ClusterWorld {
 protected:
  struct Reply {
    int status = 0;
    std::string body, range;
  };
  PeerServer() { make_nodes(1); }
  Reply ask(std::string method, const Digest& digest, std::string_view what = "",
            std::string range = {}) {
    http::ClientRequest request = request_of(std::move(method), digest, what);
    if (!range.empty()) request.headers.set("Range", range);
    return wait(send(std::move(request)));
  }
  Offer offer(const Digest& digest, size_t after) {
    return Offer::parse(ask("GET", digest, fmt::format("/chunks?after={}", after)).body).value();
  }
  // The first so many blocks of a blob that is still under way.
  std::shared_ptr<IncomingBlob> receive(const std::string& data, size_t blocks) {
    auto blob =
        wait(IncomingBlob::open(world_, *node(0).store, Digest::of(data), data.size())).value();
    node(0).incoming->add(blob);
    sim_.run(write(blob, data, blocks));
    return blob;
  }
  io::Task<void> sleep(io::Duration time) { (void)co_await world_.clock.sleep_for(time); }
  io::Task<void> ask_later(Digest digest, std::string_view what, io::Duration when,
                           std::optional<Reply>& reply) {
    (void)co_await world_.clock.sleep_for(when);
    http::ClientRequest request = request_of("GET", digest, what);
    request.headers.set("Range", "bytes=0-9");  // The list of chunks heeds none.
    reply = co_await send(std::move(request));
  }

 private:
  http::ClientRequest request_of(std::string method, const Digest& digest, std::string_view what) {
    http::ClientRequest request;
    request.method = std::move(method);
    request.endpoint = node(0).at;
    request.target = fmt::format("/peer/v1/blobs/{}{}", digest.str(), what);
    return request;
  }
  io::Task<Reply> send(http::ClientRequest request) {
    auto response = co_await node(0).client->send(std::move(request), {});
    EXPECT_TRUE(response);
    Reply reply{.status = (*response)->status(),
                .body = (co_await (*response)->read_all(1 << 30)).value(),
                .range = std::string((*response)->headers().get("Content-Range"))};
    co_return reply;
  }
  io::Task<void> write(std::shared_ptr<IncomingBlob> blob, const std::string& data, size_t blocks) {
    for (size_t i = 0; i < blocks; i++) {
      const auto done =
          co_await blob->write_block(i, data.substr(i * kMega, blob->block_bytes(i)), {});
      EXPECT_TRUE(done);
    }
    const auto verified = co_await blob->verify_filled();
    EXPECT_TRUE(verified);
  }
};

TEST_F(PeerServer, GivesPartsOfAWholeBlobAndTheDigestsOfItsChunks) {
  const std::string data = random_bytes(18 * kMega, 1);
  const Digest digest = Digest::of(data);
  put(node(0), data);
  const auto part = ask("GET", digest, "", "bytes=17000000-17000099");
  EXPECT_EQ(part.status, 206);
  EXPECT_EQ(part.body, data.substr(17'000'000, 100));
  EXPECT_EQ(ask("HEAD", digest).status, 200);
  Offer all = offer(digest, 0);
  EXPECT_TRUE(all.whole);
  while (all.known < 2) {  // The first answer may come while the rest is being read.
    const Offer more = offer(digest, all.known);
    all.chunks.insert(all.chunks.end(), more.chunks.begin(), more.chunks.end());
    all.known = more.known;
  }
  ASSERT_EQ(all.chunks.size(), 2U);
  EXPECT_EQ(all.chunks[1].second, Digest::of(data.substr(kChunkBytes)));
}

TEST_F(PeerServer, GivesOfABlobUnderWayOnlyVerifiedChunks) {
  const std::string data = random_bytes(40 * kMega, 2);
  const Digest digest = Digest::of(data);
  const auto blob = receive(data, 20);
  const Offer some = offer(digest, 0);
  EXPECT_FALSE(some.whole);
  EXPECT_EQ(some.size, data.size());
  ASSERT_EQ(some.chunks.size(), 1U);
  EXPECT_EQ(some.chunks[0].second, Digest::of(data.substr(0, kChunkBytes)));
  const auto part = ask("GET", digest, "", "bytes=100-16777215");
  EXPECT_EQ(part.status, 206);
  EXPECT_EQ(part.range, "bytes 100-16777215/41943040");
  EXPECT_TRUE(part.body == data.substr(100, kChunkBytes - 100));
  EXPECT_EQ(ask("GET", digest, "", "bytes=100-16777216").status, 404);  // One byte too many.
  EXPECT_EQ(ask("GET", digest).status, 404);
  EXPECT_EQ(ask("HEAD", digest).status, 404);
  EXPECT_TRUE(wait(blob->close()));
  EXPECT_EQ(ask("GET", digest, "", "bytes=0-9").status, 404);
}

// As the relay asks: for all of the rest at once.
TEST_F(PeerServer, SendsNoFasterThanItsCapHoweverMuchIsAskedFor) {
  const std::string data = random_bytes(40 * kMega, 6);
  put(node(0), data);
  node(0).sending->set_rate(10 * kMega);
  const uint64_t sent_before = peer_sent_bytes.value();
  for (const char* range : {"bytes=0-41943039", "bytes=0-", ""}) {
    const auto before = world_.clock.now();
    EXPECT_TRUE(ask("GET", Digest::of(data), "", range).body == data);
    EXPECT_GE(world_.clock.now() - before, milliseconds(3800)) << range;
    EXPECT_LE(world_.clock.now() - before, milliseconds(4500)) << range;
  }
  EXPECT_EQ(peer_sent_bytes.value() - sent_before, 3 * data.size());
}

TEST_F(PeerServer, WaitsALittleForNews) {
  const std::string data = random_bytes(40 * kMega, 3);
  const auto blob = receive(data, 16);
  const auto before = world_.clock.now();
  const Offer nothing = offer(Digest::of(data), 1);
  EXPECT_TRUE(nothing.chunks.empty());
  EXPECT_GE(world_.clock.now() - before, kOfferWait - seconds(1));
  EXPECT_TRUE(wait(blob->close()));
}

// The look at the disk waits for a worker, and the two must not miss it between them.
TEST_F(PeerServer, HasABlobThatBecomesWholeWhileItIsLookedFor) {
  for (int i = 0; i < 200; i++) {
    const std::string data = random_bytes(1000, static_cast<uint64_t>(100 + i));
    const Digest digest = Digest::of(data);
    auto blob = receive(data, 1);
    std::optional<Reply> bytes, chunks;
    io::TaskGroup group(world_.executor, world_.clock);
    const io::Duration when = std::chrono::microseconds(50 * i);
    group.spawn(ask_later(digest, "", when, bytes));
    group.spawn(ask_later(digest, "/chunks", when, chunks));
    EXPECT_TRUE(wait(blob->finish()));
    blob.reset();
    sim_.run(group.wait());
    EXPECT_EQ(bytes->status, 206) << i;
    EXPECT_EQ(chunks->status, 200) << i;
  }
}

TEST_F(PeerServer, KnowsNothingOfOtherBlobs) {
  EXPECT_EQ(ask("GET", Digest::of("x")).status, 404);
  EXPECT_EQ(ask("GET", Digest::of("x"), "/chunks").status, 404);
  EXPECT_EQ(ask("POST", Digest::of("x")).status, 405);
  EXPECT_EQ(ask("POST", Digest::of("x"), "/doubt").status, 404);
}

TEST_F(PeerServer, ReadsARottenBlobAgainOnceItWasReplaced) {
  const std::string data = random_bytes(20 * kMega, 5);
  const Digest digest = Digest::of(data);
  put(node(0), data);
  sim_.files().rot(node(0).store->blob_path(digest), 7);
  offer(digest, 0);
  sim_.run(sleep(seconds(1)));
  EXPECT_EQ(ask("GET", digest, "/chunks").status, 404);
  EXPECT_THAT(node(0).corrupt, ::testing::ElementsAre(digest));
  put(node(0), data);
  offer(digest, 0);
  sim_.run(sleep(seconds(1)));
  EXPECT_EQ(offer(digest, 0).chunks.size(), 2U);
}

TEST_F(PeerServer, LooksAtABlobThatAnotherNodeDoubts) {
  const std::string data = random_bytes(1000, 4);
  const Digest digest = Digest::of(data);
  put(node(0), data);
  EXPECT_EQ(ask("GET", digest, "/doubt").status, 405);
  EXPECT_TRUE(node(0).corrupt.empty());
  EXPECT_EQ(ask("POST", digest, "/doubt").status, 202);
  EXPECT_THAT(node(0).corrupt, ::testing::ElementsAre(digest));
}

}  // namespace
}  // namespace om::transfer
