// A backup that is read back into a cluster that has gone on since, or begun anew.
#include "app/cluster_restore.h"

#include "app/cluster_for_test.h"
#include "base/json_fields.h"
#include "cluster/catalogue.h"
#include "metadata/backup.h"
#include "sim/forwarded_metadata.h"

namespace om::app {
namespace {

using std::chrono::seconds;

class Restore : public testing::ClusterOfNodes {
 protected:
  static model::Name name(std::string_view text) { return model::Name::parse(text).value(); }
  static std::string models_key(std::string_view text) {
    return std::string(cluster::kModelsPrefix) + cluster::catalogue_key(name(text));
  }
  static std::string removed_key(std::string_view text) {
    return std::string(cluster::kRemovedPrefix) + cluster::catalogue_key(name(text));
  }
  static std::string manifest_of(std::string_view layer) {
    return fmt::format(
        R"({{"schemaVersion":2,"config":{{"digest":"{}","size":2}},"layers":[{{"digest":"{}",)"
        R"("mediaType":"application/vnd.ollama.image.model","size":{}}}]}})",
        Digest::of("{}").str(), Digest::of(layer).str(), layer.size());
  }
  static std::string value_of(std::string_view model, std::string_view layer) {
    return boost::json::serialize(
        boost::json::object{{"name", name(model).str()}, {"manifest", manifest_of(layer)}});
  }
  static io::Path manifest_file(std::string_view model) {
    return "/models/manifests/" + name(model).path();
  }
  // As whoever makes or pulls one leaves it.
  void put_on_disk(std::string_view model, std::string_view layer) {
    sim::SimFilesystem& disk = nodes_[0]->disk;
    for (const std::string_view blob : {std::string_view("{}"), layer}) {
      const io::Path file = "/models/blobs/" + Digest::of(blob).file_name();
      CHECK(disk.make_directories(io::parent(file)) && disk.write_file(file, blob));
    }
    const io::Path file = manifest_file(model);
    CHECK(disk.make_directories(io::parent(file)) && disk.write_file(file, manifest_of(layer)));
  }
  std::string on_disk(std::string_view model) {
    return nodes_[0]->disk.read_file(manifest_file(model), 1 << 20).value_or("");
  }
  std::string fact(const std::string& key) {
    const metadata::Snapshot all = facts_.all();
    for (const auto& entry : all.entries) {
      if (entry.key == key) return entry.value;
    }
    return {};
  }
  io::Task<boost::json::object> restore(std::map<std::string, std::string> facts) {
    metadata::Snapshot snapshot;
    for (auto& [key, value] : facts) snapshot.entries.push_back({.key = key, .value = value});
    const std::string told =
        co_await ask(*nodes_[0], "POST", "restore", metadata::write_backup(snapshot));
    co_return boost::json::parse(told).as_object();
  }

  io::Task<void> keeps_what_was_made_since(io::Duration before);
  io::Task<void> brings_back_what_is_gone();
  io::Task<void> brings_many_back_in_groups();
  io::Task<void> leaves_what_is_made_meanwhile();
};

// `before` it is read back the node has `told` of its model, or has not yet.
io::Task<void> Restore::keeps_what_was_made_since(io::Duration before) {
  put_on_disk("x", "the new version");
  co_await pass(before);
  const std::map<std::string, std::string> backup{
      {models_key("x"), value_of("x", "the old version")},
      {removed_key("x"), "{}"},
      {"/policies/*", R"({"factor":1})"}};
  const auto told = co_await restore(backup);
  EXPECT_EQ(told.at("entries").as_int64(), 1);
  EXPECT_EQ(JsonFields(told).texts("kept"), std::vector<std::string>{"x:latest"});
  co_await pass(seconds(30));
  EXPECT_EQ(cluster::manifest_in(fact(models_key("x"))), manifest_of("the new version"));
  EXPECT_EQ(on_disk("x"), manifest_of("the new version"));
  EXPECT_EQ(fact(removed_key("x")), "");
  EXPECT_EQ(fact("/policies/*"), R"({"factor":1})");
}
TEST_F(Restore, KeepsAModelThatWasMadeAnewSince) { run(1, keeps_what_was_made_since(seconds(30))); }
TEST_F(Restore, KeepsAModelThatTheClusterHasNotHeardOfYet) {
  run(1, keeps_what_was_made_since(seconds(0)));
}

io::Task<void> Restore::brings_back_what_is_gone() {
  const std::string old = value_of("x", "the old version"), same = value_of("y", "the same");
  put_on_disk("y", "the same");
  co_await pass(seconds(30));
  const auto facts = facts_.node("somebody");
  metadata::Transaction removal;
  removal.operations = {metadata::Operation::put(removed_key("x"), "{}")};
  EXPECT_TRUE((co_await facts->commit(std::move(removal), {})).has_value());
  co_await facts->stop();
  const std::map<std::string, std::string> backup{{models_key("x"), old}, {models_key("y"), same}};
  const auto told = co_await restore(backup);
  EXPECT_EQ(told.at("entries").as_int64(), 2);
  EXPECT_TRUE(JsonFields(told).texts("kept").empty());
  EXPECT_EQ(fact(models_key("x")), old);
  EXPECT_EQ(fact(removed_key("x")), "");
  // Again, as after a try that took too long: what it brought back is no other model.
  const auto again = co_await restore(backup);
  EXPECT_EQ(again.at("entries").as_int64(), 2);
  EXPECT_TRUE(JsonFields(again).texts("kept").empty());
}
TEST_F(Restore, BringsBackTheNameOfAModelThatWasRemoved) { run(1, brings_back_what_is_gone()); }

// Counts what is decided, and puts `made` once the names there are were listed.
class Meanwhile final : public sim::ForwardedMetadata {
 public:
  using ForwardedMetadata::ForwardedMetadata;

  io::Task<Result<metadata::Snapshot>> list(std::string prefix, io::Call call) override {
    auto listed = co_await inner().list(std::move(prefix), call);
    for (const auto& [key, value] : std::exchange(made, {})) {
      metadata::Transaction put;
      put.operations = {metadata::Operation::put(key, value)};
      EXPECT_TRUE((co_await inner().commit(std::move(put), call)).has_value());
    }
    co_return listed;
  }
  io::Task<Result<metadata::Commit>> commit(metadata::Transaction transaction,
                                            io::Call call) override {
    commits++;
    return inner().commit(std::move(transaction), std::move(call));
  }

  std::map<std::string, std::string> made;
  int commits = 0;
};

io::Task<void> Restore::brings_many_back_in_groups() {
  Meanwhile facts(facts_.node("somebody"));
  metadata::Snapshot backup;
  for (int i = 0; i < 80; i++) {
    const std::string model = fmt::format("m{}", i);
    backup.entries.push_back({.key = models_key(model), .value = value_of(model, "layer")});
  }
  // As a manifest of thousands of layers: two of them are too large for one commit.
  for (const char* model : {"huge1", "huge2"}) {
    boost::json::object value{{"name", name(model).str()}, {"manifest", manifest_of(model)}};
    value["padding"] = std::string(900 << 10, ' ');
    backup.entries.push_back({.key = models_key(model), .value = boost::json::serialize(value)});
  }
  const auto restored = co_await restore_facts(facts, nodes_[0]->parts()->store(), backup, {});
  CO_ASSERT(restored.has_value());
  EXPECT_EQ(restored->entries, 82U);
  EXPECT_TRUE(restored->kept.empty());
  EXPECT_EQ(facts.commits, 4);  // 32, 32, 17 with one that is huge, and the other.
  for (const auto& entry : backup.entries) EXPECT_EQ(fact(entry.key), entry.value);
  co_await facts.stop();
}
TEST_F(Restore, BringsThousandsOfModelsBackInGroups) { run(1, brings_many_back_in_groups()); }

io::Task<void> Restore::leaves_what_is_made_meanwhile() {
  Meanwhile facts(facts_.node("somebody"));
  const std::map<std::string, std::string> wanted{{models_key("other"), value_of("other", "old")},
                                                  {models_key("same"), value_of("same", "old")},
                                                  {models_key("third"), value_of("third", "old")}};
  facts.made = {{models_key("other"), value_of("other", "new")},
                {models_key("same"), value_of("same", "old")}};
  metadata::Snapshot backup;
  for (const auto& [key, value] : wanted) backup.entries.push_back({.key = key, .value = value});
  const auto restored = co_await restore_facts(facts, nodes_[0]->parts()->store(), backup, {});
  CO_ASSERT(restored.has_value());
  EXPECT_EQ(restored->entries, 2U);
  EXPECT_EQ(restored->kept, std::vector<std::string>{"other:latest"});
  EXPECT_EQ(fact(models_key("other")), value_of("other", "new"));
  EXPECT_EQ(fact(models_key("third")), value_of("third", "old"));
  co_await facts.stop();
}
TEST_F(Restore, LeavesWhatIsMadeWhileItRuns) { run(1, leaves_what_is_made_meanwhile()); }

}  // namespace
}  // namespace om::app
