// What a node without a copy of the facts hears of them through a voter.
#include "peer/metadata_service.h"

#include <gtest/gtest.h>

#include "cluster/fact_table.h"
#include "cluster/metadata_for_test.h"
#include "cluster/remote_metadata.h"
#include "http/client.h"

namespace om::peer {
namespace {

using cluster::testing::Bench;
using std::chrono::seconds;

// A voter and a node that asks it.
class Voter {
 public:
  explicit Voter(Bench& bench)
      : service_(bench.world(), *bench.metadata, stopping_.token()),
        server_(
            bench.world(), {},
            [this](http::Request& request, http::BodyReader& body, http::ResponseWriter& response) {
              return service_.handle(request, body, response);
            }),
        client_(bench.world()),
        remote_(bench.world(), client_,
                [this] { return std::vector<engine::PeerLink>{{"voter", at_, nullptr}}; }) {
    const auto at = server_.listen(io::Endpoint::tcp("127.0.0.1", 0));
    CHECK(at.has_value());
    at_ = *at;
  }
  metadata::Metadata& remote() { return remote_; }
  io::Task<void> stop() {
    client_.close_idle();
    stopping_.cancel();
    co_await service_.stop();
    co_await server_.stop({});
  }

 private:
  io::CancelSource stopping_;
  MetadataService service_;
  http::Server server_;
  io::Endpoint at_;
  http::Client client_;
  cluster::RemoteMetadata remote_;
};

// The user's own etcd is down while a backup of it is put back: its revisions begin anew.
TEST(MetadataService, TellsOfFactsThatWereRestoredWhileItHadNone) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    for (int i = 0; i < 20; i++) co_await bench.put("/a/1", fmt::format("{}", i));
    Voter voter(bench);
    cluster::FactTable table(bench.world(), voter.remote(), "/a/", "");
    table.start();
    CO_ASSERT((co_await table.wait_synced(bench.call())).has_value());
    bench.metadata->away = true;
    co_await bench.sleep(seconds(10));
    auto backup = co_await metadata::open_sqlite(bench.world(), ":memory:");
    CO_ASSERT(backup.has_value());
    const auto before = bench.metadata->replace(std::move(*backup));
    bench.metadata->away = false;
    co_await bench.put("/a/1", "backup");
    co_await bench.sleep(seconds(2));
    CO_ASSERT(table.find("1") != nullptr);
    EXPECT_EQ(table.find("1")->value, "backup");
    co_await bench.put("/a/1", "changed");
    co_await bench.sleep(seconds(2));
    EXPECT_EQ(table.find("1")->value, "changed");
    co_await table.stop();
    co_await voter.stop();
    co_await before->stop();
  });
}

}  // namespace
}  // namespace om::peer
