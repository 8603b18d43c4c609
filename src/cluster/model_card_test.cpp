#include "cluster/model_card.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <tuple>

#include "base/utf8.h"
#include "cluster/metadata_for_test.h"
#include "model/messages.h"

namespace om::cluster {
namespace {

using testing::Bench;

// Every field of a summary but the layers: a new one does not compile until it is here, and then
// the card must carry it.
template <class Summary>
auto fields_of(Summary& gguf) {
  auto& [architecture, name, file_type, parameter_size, chat_template, chat_template_tools,
         bos_token, eos_token, add_bos, add_eos, has_pooling, has_vision, has_audio, block_count,
         context_length, embedding_length, parameter_count, type, pooling_type, head_count,
         feed_forward_length, vocabulary_size, expert_count, sliding_window, split_count,
         cache_layers, state_bytes, tensor_bytes, input_bytes, output_bytes, block_bytes_max,
         repack_bytes, query_width, expert_used_count, expert_feed_forward_length] = gguf;
  (void)cache_layers;
  return std::tie(architecture, name, file_type, parameter_size, chat_template, chat_template_tools,
                  bos_token, eos_token, add_bos, add_eos, has_pooling, has_vision, has_audio,
                  block_count, context_length, embedding_length, parameter_count, type,
                  pooling_type, head_count, feed_forward_length, vocabulary_size, expert_count,
                  sliding_window, split_count, state_bytes, tensor_bytes, input_bytes, output_bytes,
                  block_bytes_max, repack_bytes, query_width, expert_used_count,
                  expert_feed_forward_length);
}

std::string any_text() {
  return *rc::gen::container<std::string>(rc::gen::elementOf(std::string("aZ \"\\\n\t{}<&\x7f")));
}

void make_any(std::string& field) { field = any_text(); }
void make_any(bool& field) { field = *rc::gen::arbitrary<bool>(); }
template <std::integral Number>
void make_any(Number& field) {
  field = *rc::gen::arbitrary<Number>();
}

store::Model any_model() {
  store::Model model;
  model.name = *model::Name::parse("Some/Model:Tag");
  model.modified = io::WallTime(std::chrono::nanoseconds(*rc::gen::inRange<int64_t>(0, 1LL << 60)));
  model.config.model_family = any_text();
  model.config.context_length = *rc::gen::arbitrary<int64_t>();
  model.system = any_text();
  if (*rc::gen::arbitrary<bool>()) model.template_text = any_text();
  model.params["stop"] = boost::json::array{any_text()};
  model.params["top_k"] = *rc::gen::arbitrary<int>();
  model.messages.resize(*rc::gen::inRange<size_t>(0, 3));
  for (model::Message& message : model.messages) {
    message.role = "user";
    message.content = any_text();
  }
  model.licenses = {any_text()};
  model.capabilities = {"completion", "tools"};
  std::apply([](auto&... fields) { (make_any(fields), ...); }, fields_of(model.gguf));
  model.gguf.cache_layers.resize(*rc::gen::inRange<size_t>(0, 4));
  for (model::GgufCacheLayer& layer : model.gguf.cache_layers) {
    make_any(layer.key_width);
    make_any(layer.value_width);
    make_any(layer.sliding);
  }
  return model;
}

model::Manifest manifest_for_test() {
  const std::string prefix(model::kLayerMediaPrefix);
  model::Manifest manifest;
  manifest.config = {std::string(model::kConfigMediaType), Digest::of("config"), 6, ""};
  for (const char* kind : {"model", "projector", "adapter", "template"}) {
    manifest.layers.push_back({prefix + kind, Digest::of(kind), 10, ""});
  }
  return manifest;
}

// The store that the paths of a card are made by; nothing is in it.
std::unique_ptr<store::Store> open_store(sim::World& sim) {
  std::unique_ptr<store::Store> store;
  sim.run([](io::World& world, std::unique_ptr<store::Store>& store) -> io::Task<void> {
    auto opened = co_await store::Store::open(world, "/models", false);
    CO_ASSERT(opened.has_value());
    store = std::move(*opened);
  }(sim.world(), store));
  return store;
}

RC_GTEST_PROP(ModelCard, KeepsAllThatIsKnownOfAModel, ()) {
  sim::World sim(1);
  const auto store = open_store(sim);
  const store::Model model = any_model();
  const std::string manifest = manifest_for_test().to_json();
  const auto text = write_card(model, manifest);
  RC_ASSERT(text.has_value());
  const auto card = read_card(*text, *store);
  RC_ASSERT(card.has_value());
  const store::Model& read = *card->model;
  RC_ASSERT(card->manifest == manifest);
  RC_ASSERT(read.digest == Digest::of(manifest));
  RC_ASSERT(read.name == model.name);
  RC_ASSERT(read.modified == model.modified);
  RC_ASSERT(read.config.to_json() == model.config.to_json());
  RC_ASSERT(read.system == model.system);
  RC_ASSERT(read.template_text == model.template_text);
  RC_ASSERT(read.params == model.params);
  RC_ASSERT(model::messages_to_json(read.messages) == model::messages_to_json(model.messages));
  RC_ASSERT(read.licenses == model.licenses);
  RC_ASSERT(read.capabilities == model.capabilities);
  RC_ASSERT(fields_of(read.gguf) == fields_of(model.gguf));
  RC_ASSERT(read.gguf.cache_layers.size() == model.gguf.cache_layers.size());
  for (size_t i = 0; i < read.gguf.cache_layers.size(); i++) {
    RC_ASSERT(read.gguf.cache_layers[i].key_width == model.gguf.cache_layers[i].key_width);
    RC_ASSERT(read.gguf.cache_layers[i].value_width == model.gguf.cache_layers[i].value_width);
    RC_ASSERT(read.gguf.cache_layers[i].sliding == model.gguf.cache_layers[i].sliding);
  }
  RC_ASSERT(read.weights == Digest::of("model"));
  RC_ASSERT(read.weights_path == store->blob_path(Digest::of("model")));
  RC_ASSERT(read.projector_paths.size() == 1u);
  RC_ASSERT(read.adapter_paths.size() == 1u);
}

store::Model small_model() {
  store::Model model;
  model.name = *model::Name::parse("m");
  return model;
}

TEST(ModelCard, IsReadableWhateverBytesAModelsFileHolds) {
  sim::World sim(1);
  const auto store = open_store(sim);
  store::Model model = small_model();
  model.gguf.bos_token = "<\xff>";
  model.gguf.name = "caf\xc3";
  const auto text = write_card(model, manifest_for_test().to_json());
  ASSERT_TRUE(text.has_value());
  EXPECT_TRUE(utf8_valid(*text));
  const auto card = read_card(*text, *store);
  ASSERT_TRUE(card.has_value()) << card.error().what;
  EXPECT_EQ(card->model->gguf.bos_token, "<\xef\xbf\xbd>");
}

TEST(ModelCard, LeavesLicencesOutRatherThanGrow) {
  sim::World sim(1);
  const auto store = open_store(sim);
  store::Model model = small_model();
  model.licenses = {std::string(kCardBytesMax, 'x')};
  const auto text = write_card(model, manifest_for_test().to_json());
  ASSERT_TRUE(text.has_value());
  EXPECT_LE(text->size(), kCardBytesMax);
  EXPECT_TRUE(read_card(*text, *store)->model->licenses.empty());
}

TEST(ModelCard, SaysWhatIsTooLargeForACluster) {
  store::Model model = small_model();
  model.system = std::string(kCardBytesMax, 'x');
  const auto text = write_card(model, manifest_for_test().to_json());
  ASSERT_FALSE(text.has_value());
  EXPECT_EQ(text.error().code, Errc::overloaded);
  EXPECT_THAT(text.error().what, ::testing::HasSubstr("m:latest"));
}

TEST(ModelCard, RefusesWhatIsNone) {
  sim::World sim(1);
  const auto store = open_store(sim);
  for (const char* text :
       {"", "{}", "[]", R"({"name":"m","manifest":"{}"})", R"({"name":"../x","manifest":"{}"})"}) {
    EXPECT_FALSE(read_card(text, *store).has_value()) << text;
  }
}

}  // namespace
}  // namespace om::cluster
