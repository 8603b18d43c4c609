#include "transfer/held_model.h"

#include "model/gguf_builder.h"
#include "transfer/create.h"
#include "transfer/push.h"
#include "transfer/replicas/catalogue.h"
#include "transfer/testing/cluster.h"

namespace om::transfer {
namespace {

using ::testing::Contains;
using ::testing::Not;
using testing::random_bytes;

// Node `b` is asked to work on models whose files only node `a` has.
class Elsewhere : public testing::ClusterWorld {
 protected:
  io::Task<void> sleep(io::Duration time) { (void)co_await world_.clock.sleep_for(time); }
  Elsewhere() {
    make_nodes(2);
    for (size_t i = 0; i < 2; i++) {
      auto& at = node(i);
      tables_[i] = std::make_unique<cluster::Catalogue>(world_, at.metadata, *at.store,
                                                        at.folder() + "/models.json");
      tables_[i]->start();
      catalogues_[i] = std::make_unique<Catalogue>(world_, at.metadata, *tables_[i]);
      at.context->catalogue = catalogues_[i].get();
    }
  }
  ~Elsewhere() override {
    for (auto& table : tables_) sim_.run(table->stop());
  }

  model::Name name_at_registry() const {
    return model::Name::parse(fmt::format("{}/test/m", registry_.host())).value();
  }
  static std::string weights(uint32_t context_length) {
    return model::GgufBuilder()
        .text("general.architecture", "llama")
        .u32("general.file_type", 1)
        .u32("llama.context_length", context_length)
        .tensor("token_embd.weight", {32, 4}, 0)
        .bytes();
  }
  void agree(const model::Name& name, const std::string& manifest) {
    EXPECT_TRUE(wait(catalogues_[0]->put(name, manifest, {})));
    sim_.run(sleep(std::chrono::seconds(1)));  // The other node hears of it.
  }
  static CreateRequest derived_from(const model::Name& from) {
    CreateRequest request;
    request.name = model::Name::parse("derived").value();
    request.from = from.str();
    return request;
  }
  Result<void> create_at_b(const model::Name& from) {
    std::optional<Result<void>> made;
    sim_.run(create_at_b_into(derived_from(from), made));
    return *made;
  }
  io::Task<void> create_at_b_into(CreateRequest request, std::optional<Result<void>>& made) {
    made.emplace(co_await create_model(*node(1).context, *node(1).downloads, std::move(request),
                                       sink(), {}));
  }
  Result<void> push_at_b(const model::Name& name) {
    UploadTable uploads(world_, "");
    RegistryRequest request{name, true};
    return wait(
        push_model(*node(1).context, uploads, *node(1).downloads, std::move(request), sink(), {}));
  }
  ProgressSink sink() {
    return [this](Progress line) { return note(std::move(line)); };
  }

  std::array<std::unique_ptr<cluster::Catalogue>, 2> tables_;
  std::array<std::unique_ptr<Catalogue>, 2> catalogues_;
  std::vector<std::string> statuses_;

 private:
  io::Task<Result<void>> note(Progress line) {
    statuses_.push_back(std::move(line.status));
    co_return Result<void>{};
  }
};

TEST_F(Elsewhere, CreateBeginsFromTheFilesOfAnotherNode) {
  const auto base = model::Name::parse("base").value();
  const std::string layer = weights(2048);
  agree(base, put_model(0, base, layer));
  const auto made = create_at_b(base);
  ASSERT_TRUE(made) << made.error().what;
  EXPECT_THAT(statuses_, Not(Contains("pulling manifest")));
  EXPECT_TRUE(has(node(1), layer));
  const auto derived = node(1).store->find(model::Name::parse("derived").value());
  ASSERT_TRUE(derived) << derived.error().what;
  EXPECT_EQ(derived->manifest.layers.at(0).digest, Digest::of(layer));
  EXPECT_EQ(derived->manifest.layers.at(0).from, "base:latest");
}

TEST_F(Elsewhere, CreateBeginsFromWhatTheClusterMeansNotFromAnOlderCopy) {
  const auto base = model::Name::parse("base").value();
  put_model(1, base, weights(1024));
  const std::string layer = weights(2048);
  agree(base, put_model(0, base, layer));
  const auto made = create_at_b(base);
  ASSERT_TRUE(made) << made.error().what;
  const auto derived = node(1).store->find(model::Name::parse("derived").value());
  ASSERT_TRUE(derived) << derived.error().what;
  EXPECT_EQ(derived->manifest.layers.at(0).digest, Digest::of(layer));
}

TEST_F(Elsewhere, CreateWaitsForWordOfWhoHasTheBase) {
  const auto base = name_at_registry();
  const std::string layer = weights(2048);
  node(0).tells_blobs = false;
  agree(base, put_model(0, base, layer));
  std::optional<Result<void>> made;
  io::TaskGroup group(world_.executor, world_.clock);
  group.spawn(create_at_b_into(derived_from(base), made));
  sim_.run(sleep(std::chrono::seconds(2)));
  node(0).tells_blobs = true;
  sim_.run(group.wait());
  ASSERT_TRUE(made && *made) << (*made).error().what;
  EXPECT_EQ(registry_.count(""), 0U);
}

TEST_F(Elsewhere, CreateFetchesWhatWasUploadedToAnotherNode) {
  const std::string layer = weights(2048), other = "a README";
  put(node(0), layer);
  put(node(0), other);
  node(0).tells_blobs = false;  // Uploaded a moment ago.
  CreateRequest request;
  request.name = model::Name::parse("uploaded").value();
  request.files = {{"m.gguf", Digest::of(layer)}, {"README.md", Digest::of(other)}};
  std::optional<Result<void>> made;
  io::TaskGroup group(world_.executor, world_.clock);
  group.spawn(create_at_b_into(std::move(request), made));
  sim_.run(sleep(std::chrono::seconds(2)));
  node(0).tells_blobs = true;
  sim_.run(group.wait());
  ASSERT_TRUE(made && *made) << (*made).error().what;
  EXPECT_TRUE(has(node(1), layer));
  EXPECT_TRUE(node(1).store->find(model::Name::parse("uploaded").value()));
}

TEST_F(Elsewhere, CreateSaysWhichFileNobodyHas) {
  CreateRequest request;
  request.name = model::Name::parse("m").value();
  request.files = {{"m.gguf", Digest::of("nowhere")}};
  std::optional<Result<void>> made;
  sim_.run(create_at_b_into(std::move(request), made));
  ASSERT_TRUE(made && !*made);
  EXPECT_EQ(made->error().code, Errc::not_found);
}

TEST_F(Elsewhere, PushSendsTheFilesOfAnotherNodeAndKeepsNone) {
  const std::string layer = random_bytes(3 << 20, 1);
  const std::string manifest = put_model(0, name_at_registry(), layer);
  agree(name_at_registry(), manifest);
  const auto pushed = push_at_b(name_at_registry());
  ASSERT_TRUE(pushed) << pushed.error().what;
  EXPECT_EQ(registry_.manifests["test/m:latest"], manifest);
  EXPECT_TRUE(registry_.blobs[Digest::of(layer).str()] == layer);
  EXPECT_TRUE(node(1).store->blobs().value().empty());
}

TEST_F(Elsewhere, PushSendsWhatTheClusterMeansNotAnOlderCopy) {
  put_model(1, name_at_registry(), "old");
  const std::string manifest = put_model(0, name_at_registry(), "new");
  agree(name_at_registry(), manifest);
  const auto pushed = push_at_b(name_at_registry());
  ASSERT_TRUE(pushed) << pushed.error().what;
  EXPECT_EQ(registry_.manifests["test/m:latest"], manifest);
  EXPECT_FALSE(registry_.blobs.contains(Digest::of("old").str()));
}

TEST_F(Elsewhere, PushSaysThatNobodyKnowsTheModel) {
  const auto pushed = push_at_b(name_at_registry());
  ASSERT_FALSE(pushed);
  EXPECT_EQ(pushed.error().code, Errc::not_found);
}

}  // namespace
}  // namespace om::transfer
