#include "cluster/view.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace om::cluster {
namespace {

NodeInfo node(std::string name, int reported = 0, std::vector<std::string> models = {}) {
  NodeInfo info;
  info.name = std::move(name);
  info.reported = io::TimePoint(std::chrono::seconds(reported));
  for (std::string& model : models) {
    RunnerInfo runner;
    runner.key = Digest::of(model);
    runner.model = std::move(model);
    info.runners.push_back(std::move(runner));
  }
  return info;
}

TEST(View, FindsNodesByName) {
  auto view = View::of({node("b"), node("a"), node("c")});
  ASSERT_TRUE(view);
  EXPECT_EQ(view->nodes().front().name, "a");
  ASSERT_NE(view->find("b"), nullptr);
  EXPECT_EQ(view->find("b")->name, "b");
  EXPECT_EQ(view->find("d"), nullptr);
}

TEST(View, RefusesTwoNodesOfOneName) {
  EXPECT_FALSE(View::of({node("a"), node("a")}));
  EXPECT_FALSE(View::of({node("")}));
}

TEST(View, TellsWhoHasAModel) {
  auto view = View::of({node("a", 0, {"x"}), node("b", 0, {"y"}), node("c", 0, {"y", "x"})});
  ASSERT_TRUE(view);
  const auto holders = view->nodes_running(Digest::of("x"));
  ASSERT_EQ(holders.size(), 2u);
  EXPECT_EQ(holders[0]->name, "a");
  EXPECT_EQ(holders[1]->name, "c");
}

TEST(View, TellsWhatIsAnotherReport) {
  const auto names_since = [](const View& view, const View& before) {
    std::string names;
    for (const NodeInfo* changed : view.changed_since(before)) names += changed->name;
    return names;
  };
  const View view = *View::of({node("b", 5), node("c", 5), node("d", 5)});
  EXPECT_EQ(names_since(view, View()), "bcd");
  EXPECT_EQ(names_since(view, view), "");
  EXPECT_EQ(names_since(view.with(node("c", 5)), view), "c");
  EXPECT_EQ(names_since(view.with({node("a", 1), node("d", 6), node("e", 1)}), view), "ade");
  EXPECT_EQ(names_since(view.without("b"), view), "");
  EXPECT_EQ(names_since(view.without("b").without("d").with(node("b", 6)), view), "b");
}

TEST(View, TakesManyReportsAtOnce) {
  const View before = View().with(node("b", 5, {"x"})).with(node("d", 5));
  std::vector<NodeInfo> reports{node("e", 1), node("d", 6, {"y"}), node("b", 4), node("a", 1)};
  const View view = before.with(std::move(reports));
  std::string names;
  for (const NodeInfo& known : view.nodes()) names += known.name;
  EXPECT_EQ(names, "abde");
  EXPECT_EQ(view.find("b")->runners.size(), 1u);  // Older: as it was.
  EXPECT_EQ(view.find("d")->runners.size(), 1u);
  EXPECT_EQ(before.nodes().size(), 2u);
}

TEST(View, TakesNewerReportsAndStaysUnchangedItself) {
  const View empty;
  const View first = empty.with(node("a", 5, {"x"}));
  const View second = first.with(node("a", 6));
  const View stale = second.with(node("a", 4, {"y"}));
  EXPECT_TRUE(empty.nodes().empty());
  EXPECT_EQ(first.find("a")->runners.size(), 1u);
  EXPECT_TRUE(second.find("a")->runners.empty());
  EXPECT_TRUE(stale.find("a")->runners.empty());
  EXPECT_EQ(second.with(node("b")).nodes().size(), 2u);
}

// What a node hears of others comes in any order, and some of it twice.
RC_GTEST_PROP(View, HoldsTheNewestReportOfEachNodeWhateverTheOrder, ()) {
  View view;
  std::map<std::string, int> newest;
  const size_t count = *rc::gen::inRange<size_t>(0, 40);
  for (size_t i = 0; i < count; i++) {
    const std::string name(1, static_cast<char>('a' + *rc::gen::inRange(0, 6)));
    if (*rc::gen::inRange(0, 10) == 0) {
      view = view.without(name);
      newest.erase(name);
      continue;
    }
    const int reported = *rc::gen::inRange(0, 100);
    const View before = view;
    view = view.with(node(name, reported));
    const auto known = newest.find(name);
    if (known == newest.end() || known->second <= reported) newest[name] = reported;
    RC_ASSERT(before.nodes().size() <= view.nodes().size());
  }
  RC_ASSERT(view.nodes().size() == newest.size());
  for (const auto& [name, reported] : newest) {
    const NodeInfo* found = view.find(name);
    RC_ASSERT(found != nullptr);
    RC_ASSERT(found->reported == io::TimePoint(std::chrono::seconds(reported)));
  }
  RC_ASSERT(std::ranges::is_sorted(view.nodes(), {}, &NodeInfo::name));
}

}  // namespace
}  // namespace om::cluster
