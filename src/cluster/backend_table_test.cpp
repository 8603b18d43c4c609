// Which key a backend is asked with.
#include "cluster/backend_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cluster/metadata_for_test.h"
#include "http/server.h"

namespace om::cluster {
namespace {

using std::chrono::seconds;

// A node, and a foreign server that writes down how it was asked last.
class Keyed {
 public:
  sim::World sim{1};
  std::string shown;  // With the last question.
  io::Duration fetch_time{};
  std::string fetched;  // What other nodes have; empty: there are none.

  using Body = io::Task<void> (*)(Keyed&);
  void run(Body body) { sim.run(open_and_run(body)); }

  io::Task<void> pass(io::Duration time) { (void)co_await sim.clock().sleep_for(time); }
  io::Task<void> add(std::string key) {
    auto spec = engine::make_backend(fmt::format("http://{}", at_.str()), "far");
    CO_ASSERT(spec.has_value());
    spec->kind = engine::BackendKind::openai;
    const auto call = sim.clock().call_within(seconds(10));
    const auto added = co_await table_->add(std::move(*spec), std::move(key), call);
    EXPECT_TRUE(added.has_value());
  }
  io::Task<void> lose_keys_and_restart() {
    co_await stop();
    EXPECT_TRUE(sim.world().files.remove_all("/state/backend-keys"));
    start();
    co_await pass(seconds(1));
  }
  std::string kept() { return table_->key_of("far").value_or(""); }

 private:
  void start() {
    backends_ = std::make_unique<engine::Backends>(sim.world(), client_);
    BackendTable::FetchKey fetch;
    if (!fetched.empty()) {
      fetch = [this](std::string, io::Call) { return ask_others(); };
    }
    table_ = std::make_unique<BackendTable>(sim.world(), *backends_, "/state", *metadata_,
                                            io::Path(), std::move(fetch));
    table_->start();
  }
  io::Task<Result<std::string>> ask_others() {
    co_await pass(fetch_time);
    co_return fetched;
  }
  io::Task<void> stop() {
    co_await table_->stop();
    co_await backends_->stop();
    table_.reset();
  }
  io::Task<void> answer(http::Request& request, http::ResponseWriter& response) {
    shown = request.headers.get("Authorization");
    (void)co_await response.send(200, "application/json", R"({"data":[]})");
  }
  io::Task<void> open_and_run(Body body) {
    auto opened = co_await metadata::open_sqlite(sim.world(), ":memory:");
    CO_ASSERT(opened.has_value());
    metadata_ = std::move(*opened);
    const auto at = server_.listen(io::Endpoint::tcp("127.0.0.1", 0));
    CO_ASSERT(at.has_value());
    at_ = *at;
    start();
    co_await body(*this);
    co_await stop();
    client_.close_idle();
    co_await server_.stop(seconds(0));
    co_await metadata_->stop();
  }

  http::Client client_{sim.world()};
  http::Server server_{
      sim.world(),
      {},
      [this](http::Request& request, http::BodyReader&, http::ResponseWriter& response) {
        return answer(request, response);
      }};
  io::Endpoint at_;
  std::unique_ptr<metadata::Metadata> metadata_;
  std::unique_ptr<engine::Backends> backends_;
  std::unique_ptr<BackendTable> table_;
};

io::Task<void> is_added_again(Keyed& node) {
  co_await node.add("secret");
  co_await node.pass(seconds(10));
  EXPECT_EQ(node.shown, "Bearer secret");
  co_await node.lose_keys_and_restart();
  co_await node.pass(seconds(10));
  EXPECT_EQ(node.shown, "");
  co_await node.add("secret");
  co_await node.pass(seconds(10));
  EXPECT_EQ(node.shown, "Bearer secret");
}
TEST(BackendTable, AddedAgainWithTheKeyThatWasMissingItIsUsed) { Keyed().run(is_added_again); }

io::Task<void> changes_its_key(Keyed& node) {
  co_await node.add("old");
  node.fetched = "old";
  node.fetch_time = seconds(3);
  co_await node.lose_keys_and_restart();
  co_await node.add("new");
  co_await node.pass(seconds(20));
  EXPECT_EQ(node.shown, "Bearer new");
  EXPECT_EQ(node.kept(), "new");
}
TEST(BackendTable, AnOldKeyThatComesLateReplacesNoNewOne) { Keyed().run(changes_its_key); }

}  // namespace
}  // namespace om::cluster
