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
  io::Task<void> put(engine::BackendSpec spec) {
    metadata::Transaction transaction;
    transaction.operations.push_back(metadata::Operation::put(
        std::string(kBackendsPrefix) + spec.name, engine::write_backend(spec)));
    const auto call = sim.clock().call_within(seconds(10));
    EXPECT_TRUE(co_await metadata_->commit(std::move(transaction), call));
  }
  io::Task<void> lose_keys_and_restart() {
    co_await stop();
    if (sim.world().files.exists("/state/backend-keys")) {
      EXPECT_TRUE(sim.world().files.remove_all("/state/backend-keys"));
    }
    start();
    co_await pass(seconds(1));
  }
  std::string kept(const std::string& name = "far") {
    return sim.world().files.read_file("/state/backend-keys/" + name, 100).value_or("");
  }
  std::string handed_over(const std::string& name) { return table_->key_of(name).value_or(""); }
  // A node that had backends of its own enters a cluster.
  io::Task<void> enter_cluster(metadata::Snapshot own, int times) {
    co_await stop();
    start();
    co_await pass(seconds(1));
    for (int i = 0; i < times; i++) {
      const auto adopted = co_await table_->adopt(own, sim.clock().call_within(seconds(10)));
      EXPECT_TRUE(adopted.has_value());
    }
    EXPECT_TRUE(table_->forget_keys_aside());
  }
  io::Task<Result<void>> add_as(std::string url, std::string name) {
    auto spec = engine::make_backend(url, std::move(name));
    co_return co_await table_->add(std::move(*spec), "", sim.clock().call_within(seconds(10)));
  }
  std::map<std::string, engine::BackendSpec> asked() {
    std::map<std::string, engine::BackendSpec> specs;
    for (const auto& backend : backends_->list()) specs[backend->spec().name] = backend->spec();
    return specs;
  }
  std::string self = "n1";

 private:
  void start() {
    backends_ = std::make_unique<engine::Backends>(sim.world(), client_);
    BackendTable::FetchKey fetch;
    if (!fetched.empty()) {
      fetch = [this](std::string, io::Call) { return ask_others(); };
    }
    table_ = std::make_unique<BackendTable>(sim.world(), *backends_, "/state", *metadata_,
                                            io::Path(), std::move(fetch), self);
    if (!fetched.empty()) EXPECT_TRUE(table_->set_keys_aside());
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
    const auto at = server_.listen(io::Endpoint::tcp("10.0.0.9", 0));
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

// The cluster has one of the same name, and the key of that one is what is fetched.
io::Task<void> brings_its_own(Keyed& node) {
  co_await node.add("theirs");
  auto own = engine::make_backend("http://127.0.0.1:8000", "far");
  CO_ASSERT(own.has_value());
  own->key_digest = Digest::of("mine").hex();
  metadata::Snapshot facts;
  facts.entries.push_back({.key = "/backends/far", .value = engine::write_backend(*own)});
  EXPECT_TRUE(node.sim.world().files.write_file("/state/backend-keys/far", "mine"));
  node.fetched = "theirs";
  co_await node.enter_cluster(facts, 2);
  EXPECT_EQ(node.kept(), "theirs");
  EXPECT_EQ(node.handed_over("far"), "theirs");
  EXPECT_EQ(node.kept("far-n1"), "mine");
  EXPECT_EQ(node.handed_over("far-n1"), "") << "another node would show it to another server";
  auto asked = node.asked();
  EXPECT_EQ(asked.size(), 2u);
  EXPECT_EQ(asked["far-n1"].url, "http://127.0.0.1:8000");
  EXPECT_EQ(asked["far-n1"].node, "n1");
  EXPECT_TRUE(asked["far"].node.empty());

  node.self = "n2";
  co_await node.enter_cluster({}, 0);
  EXPECT_FALSE(node.asked().contains("far-n1")) << "it would ask another machine";
}
TEST(BackendTable, WhatANodeHadByItselfStaysWhereTheClusterMeansAnotherByItsName) {
  Keyed().run(brings_its_own);
}

io::Task<void> names_its_own_machine(Keyed& node) {
  EXPECT_TRUE(co_await node.add_as("http://127.0.0.1:8000", "alone"));
  node.fetched = "any";
  co_await node.lose_keys_and_restart();
  for (const char* url : {"http://127.0.0.1:8000", "https://LOCALHOST", "http://[::1]:1"}) {
    const auto added = co_await node.add_as(url, "shared");
    CO_ASSERT(!added.has_value());
    EXPECT_EQ(added.error().code, Errc::invalid_argument) << url;
  }
  EXPECT_TRUE(co_await node.add_as("http://10.0.0.9:1", "shared"));
}
TEST(BackendTable, ABackendOfAClusterIsReachedByAllNodes) { Keyed().run(names_its_own_machine); }

// Added by a version that took it.
io::Task<void> has_one_of_each_machine(Keyed& node) {
  auto spec = engine::make_backend("http://127.0.0.1:1", "far");
  CO_ASSERT(spec.has_value());
  spec->key_digest = Digest::of("theirs").hex();
  co_await node.put(*spec);
  node.fetched = "theirs";
  co_await node.lose_keys_and_restart();
  co_await node.pass(seconds(20));
  EXPECT_EQ(node.kept(), "") << "it would be shown to another server";
}
TEST(BackendTable, FetchesNoKeyForItsOwnMachine) { Keyed().run(has_one_of_each_machine); }

}  // namespace
}  // namespace om::cluster
