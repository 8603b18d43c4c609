#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/openai_for_test.h"
#include "transfer/distribution.h"
#include "transfer/testing/fake_metadata.h"

namespace om::api {
namespace {

namespace json = boost::json;
using transfer::testing::FakeMetadata;

// A node of a cluster whose keeper of copies has not looked yet: all it knows without asking is
// old.
class Member {
 public:
  Member(sim::World& sim, transfer::testing::Facts& facts, const std::string& name)
      : metadata(sim.world().clock, facts), sim_(sim), client_(sim.world()) {
    sim_.run(open_store("/" + name));
    table_ = std::make_unique<cluster::Catalogue>(sim.world(), metadata, *store_,
                                                  "/" + name + "/models.json");
    transfer::ClusterLinks links{name, metadata, [] { return cluster::View(); }, nullptr};
    distribution_ = std::make_unique<transfer::Distribution>(
        sim.world(), *store_, client_, std::move(links), *table_, transfer::DistributionOptions{});
    dependencies_ = std::make_unique<Dependencies>(Dependencies{.world = sim.world(),
                                                                .store = *store_,
                                                                .scheduler = scheduler_,
                                                                .generation = generation_,
                                                                .transfer = transfer_,
                                                                .settings = {},
                                                                .distribution = &*distribution_});
    register_replicas(router_, *dependencies_);
  }

  KeptResponse ask(std::string method, std::string body = {},
                   std::string path = "/api/v1/policies/m") {
    http::Request request;
    request.method = std::move(method);
    request.path = std::move(path);
    KeptResponse response;
    sim_.run(handle(request, std::move(body), response));
    return response;
  }
  json::object show(std::string path = "/api/v1/policies/m") {
    const KeptResponse response = ask("GET", {}, std::move(path));
    EXPECT_EQ(response.status, 200) << response.body;
    return json::parse(response.body).as_object();
  }

  FakeMetadata metadata;

 private:
  io::Task<void> open_store(std::string path) {
    auto opened = co_await store::Store::open(sim_.world(), io::Path(path), false);
    CHECK(opened.has_value());
    store_ = std::move(*opened);
  }
  io::Task<void> handle(http::Request& request, std::string text, KeptResponse& response) {
    TextBody body(std::move(text));
    Context context{.request = request, .body = body, .response = response};
    co_await router_.handle(context);
  }

  sim::World& sim_;
  http::Client client_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<cluster::Catalogue> table_;
  std::unique_ptr<transfer::Distribution> distribution_;
  NoScheduler scheduler_;
  NoTransfer transfer_;
  ScriptedGeneration generation_{sim_.world().clock};
  std::unique_ptr<Dependencies> dependencies_;
  Router router_;
};

class PolicyRoutes : public ::testing::Test {
 protected:
  sim::World sim_{1};
  transfer::testing::Facts facts_{sim_.world().clock};
  Member here_{sim_, facts_, "a"}, there_{sim_, facts_, "b"};
};

TEST_F(PolicyRoutes, TellEveryNodeAChangeAtOnce) {
  ASSERT_EQ(here_.ask("PUT", R"({"factor":3,"pinned":["b"]})").status, 200);
  for (Member* member : {&here_, &there_}) {
    const json::object told = member->show();
    EXPECT_EQ(told.at("factor"), 3);
    EXPECT_EQ(told.at("pinned"), json::array{"b"});
  }
  ASSERT_EQ(here_.ask("PUT", R"({"factor":4})", "/api/v1/policies").status, 200);
  EXPECT_EQ(there_.show("/api/v1/policies").at("factor"), 4);
  EXPECT_EQ(there_.show("/api/v1/policies/other").at("factor"), 4);
  ASSERT_EQ(there_.ask("DELETE").status, 200);
  EXPECT_EQ(here_.show().at("factor"), 4);
}

// As `ollamamax replicas set` does it, at two nodes at once.
TEST_F(PolicyRoutes, RefuseAChangeOfWhatAnotherOneHasChanged) {
  for (const std::string path : {"/api/v1/policies/m", "/api/v1/policies"}) {
    json::object factor = here_.show(path), pinned = there_.show(path);
    factor["factor"] = 3;
    pinned["pinned"] = json::array{"b"};
    const KeptResponse first = here_.ask("PUT", json::serialize(factor), path);
    ASSERT_EQ(first.status, 200) << first.body;
    const KeptResponse refused = there_.ask("PUT", json::serialize(pinned), path);
    EXPECT_EQ(refused.status, 409) << refused.body;
    EXPECT_EQ(json::parse(first.body), there_.show(path));
    pinned = there_.show(path);
    pinned["pinned"] = json::array{"b"};
    ASSERT_EQ(there_.ask("PUT", json::serialize(pinned), path).status, 200);
    EXPECT_EQ(here_.show(path).at("factor"), 3);
    EXPECT_EQ(here_.show(path).at("pinned"), json::array{"b"});
  }
}

TEST_F(PolicyRoutes, TellTheLastLookWithoutAMajorityAndLoseNoChangeToIt) {
  ASSERT_EQ(there_.ask("PUT", R"({"factor":3})").status, 200);
  here_.metadata.reachable = false;
  json::object old = here_.show();
  EXPECT_EQ(old.at("factor"), 2);
  EXPECT_EQ(here_.ask("PUT", R"({"factor":4})").status, 503);
  here_.metadata.reachable = true;
  old["factor"] = 4;
  EXPECT_EQ(here_.ask("PUT", json::serialize(old)).status, 409);
  EXPECT_EQ(here_.show().at("factor"), 3);
}

TEST_F(PolicyRoutes, RefuseWhatIsNoPolicy) {
  EXPECT_EQ(here_.ask("PUT", R"({"factor":0})").status, 400);
  EXPECT_EQ(here_.ask("PUT", R"({"revision":"new"})").status, 400);
  EXPECT_EQ(here_.ask("PUT", "[]").status, 400);
}

}  // namespace
}  // namespace om::api
