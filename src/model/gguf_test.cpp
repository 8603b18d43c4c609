#include "model/gguf.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cstring>

#include "model/gguf_builder.h"

namespace om::model {
namespace {

Result<Gguf> read(std::string_view bytes, const GgufOptions& options = {}) {
  MemorySource source(bytes);
  return read_gguf(source, options);
}

std::string error_of(std::string_view bytes) {
  auto gguf = read(bytes);
  return gguf ? "" : gguf.error().what;
}

// A tiny model like gemma3: 6 layers, the last one sees everything.
GgufBuilder small_model() {
  GgufBuilder builder;
  builder.text("general.architecture", "gemma3");
  builder.text("general.name", "Small");
  builder.u32("gemma3.block_count", 6);
  builder.u32("gemma3.context_length", 32768);
  builder.u32("gemma3.embedding_length", 64);
  builder.u32("gemma3.attention.head_count", 4);
  builder.u32("gemma3.attention.head_count_kv", 1);
  builder.u32("gemma3.attention.key_length", 32);
  builder.u32("gemma3.attention.value_length", 16);
  builder.u32("gemma3.attention.sliding_window", 512);
  builder.f32("gemma3.attention.layer_norm_rms_epsilon", 1e-6f);
  builder.texts("tokenizer.ggml.tokens", {"<pad>", "<eos>", "<bos>", "a", "b", "c"});
  builder.u32("tokenizer.ggml.bos_token_id", 2);
  builder.u32("tokenizer.ggml.eos_token_id", 1);
  builder.boolean("tokenizer.ggml.add_bos_token", true);
  builder.text("tokenizer.chat_template", "{{ messages }}");
  builder.texts("general.tags", {"x", "y"});
  builder.u32("general.file_type", 15);
  builder.tensor("token_embd.weight", {64, 6}, 0);
  builder.tensor("blk.0.attn_q.weight", {256, 2}, 12);
  return builder;
}

TEST(Gguf, TellsWhatAModelIs) {
  auto gguf = read(small_model().bytes());
  ASSERT_TRUE(gguf) << gguf.error().what;
  GgufSummary summary = gguf->summarize();
  EXPECT_EQ(summary.architecture, "gemma3");
  EXPECT_EQ(summary.name, "Small");
  EXPECT_EQ(summary.file_type, "Q4_K_M");
  EXPECT_EQ(summary.parameter_count, 64u * 6 + 512);
  EXPECT_EQ(summary.parameter_size, "896");
  EXPECT_EQ(summary.bos_token, "<bos>");
  EXPECT_EQ(summary.eos_token, "<eos>");
  EXPECT_TRUE(summary.add_bos);
  EXPECT_FALSE(summary.has_pooling);
  EXPECT_EQ(summary.chat_template, "{{ messages }}");
  EXPECT_EQ(summary.vocabulary_size, 6);
  EXPECT_EQ(summary.tensor_bytes, 64u * 6 * 4 + 2 * 144);
  ASSERT_EQ(summary.cache_layers.size(), 6u);
  EXPECT_EQ(summary.cache_layers[0].key_width, 32u);
  EXPECT_EQ(summary.cache_layers[0].value_width, 16u);
  EXPECT_TRUE(summary.cache_layers[4].sliding);
  EXPECT_FALSE(summary.cache_layers[5].sliding);
}

// Gives one byte at a time, and less than it promised when `holds` says so.
class SlowSource final : public GgufSource {
 public:
  SlowSource(std::string_view bytes, uint64_t holds) : bytes_(bytes), holds_(holds) {}
  uint64_t size() const override { return bytes_.size(); }
  Result<size_t> read_at(uint64_t offset, std::span<char> into) override {
    if (offset >= holds_) return 0;
    into[0] = bytes_[offset];
    return 1;
  }

 private:
  std::string_view bytes_;
  uint64_t holds_;
};

TEST(Gguf, TakesShortReadsAndNoticesAFileThatShrinks) {
  std::string bytes = small_model().bytes();
  SlowSource slow(bytes, bytes.size());
  EXPECT_EQ(read_gguf_summary(slow)->bos_token, "<bos>");
  SlowSource shrunk(bytes, 100);
  EXPECT_EQ(read_gguf_summary(shrunk).error().what,
            "GGUF: the file became shorter while it was read");
}

TEST(Gguf, HybridsCacheOnlyTheLayersThatAttend) {
  GgufBuilder builder;
  builder.text("general.architecture", "qwen3next");
  builder.u32("qwen3next.block_count", 8);
  builder.u32("qwen3next.embedding_length", 64);
  builder.u32("qwen3next.attention.head_count", 4);
  builder.u32("qwen3next.attention.head_count_kv", 2);
  builder.u32("qwen3next.ssm.inner_size", 32);
  builder.u32("qwen3next.ssm.state_size", 16);
  builder.u32("qwen3next.ssm.group_count", 2);
  builder.u32("qwen3next.ssm.conv_kernel", 4);
  auto summary = read(builder.bytes())->summarize();
  EXPECT_EQ(summary.cache_layers.size(), 2u);
  EXPECT_EQ(summary.state_bytes, 6u * 4 * (16 * 32 + 3 * (32 + 2 * 2 * 16)));
}

TEST(Gguf, ShowHidesLongArraysUnlessAsked) {
  std::string bytes = small_model().bytes();
  auto info = read(bytes)->model_info(false);
  EXPECT_FALSE(info.contains("general.name"));
  EXPECT_FALSE(info.contains("tokenizer.chat_template"));
  EXPECT_EQ(info["general.tags"].as_array().size(), 2u);
  EXPECT_TRUE(info["tokenizer.ggml.tokens"].as_array().empty());
  EXPECT_EQ(info["general.parameter_count"].as_uint64(), 896u);
  EXPECT_EQ(info["gemma3.attention.layer_norm_rms_epsilon"].as_double(), 1e-6);
  EXPECT_EQ(read(bytes)->model_info(true)["tokenizer.ggml.tokens"].as_array().size(), 6u);

  auto bounded = read(bytes, GgufOptions{.array_length_max = 5});
  EXPECT_TRUE(bounded->model_info(false)["tokenizer.ggml.tokens"].is_null());
  EXPECT_EQ(bounded->bos_token, "<bos>") << "found without keeping the vocabulary";
  auto list = bounded->tensor_list();
  EXPECT_EQ(boost::json::serialize(list[1]),
            R"({"name":"blk.0.attn_q.weight","type":"Q4_K","shape":[256,2]})");
}

TEST(Gguf, KnowsProjectorsAdaptersAndEmbeddingModels) {
  GgufBuilder projector;
  projector.text("general.architecture", "clip");
  projector.boolean("clip.has_vision_encoder", true);
  auto summary = read(projector.bytes())->summarize();
  EXPECT_TRUE(summary.is_projector());
  EXPECT_TRUE(summary.has_vision);
  EXPECT_FALSE(summary.has_audio);

  GgufBuilder adapter;
  adapter.text("general.architecture", "llama");
  adapter.text("general.type", "adapter");
  EXPECT_TRUE(read(adapter.bytes())->summarize().is_adapter());

  GgufBuilder encoder;
  encoder.text("general.architecture", "bert");
  encoder.u32("bert.block_count", 6);
  encoder.u32("bert.embedding_length", 384);
  encoder.u32("bert.attention.head_count", 12);
  encoder.u32("bert.pooling_type", 1);
  summary = read(encoder.bytes())->summarize();
  EXPECT_TRUE(summary.has_pooling);
  EXPECT_EQ(summary.pooling_type, 1);
  EXPECT_TRUE(summary.cache_layers.empty());
}

TEST(Gguf, FileTypeFallsBackToWhatMostWeightsAre) {
  GgufBuilder builder;
  builder.text("general.architecture", "llama");
  builder.tensor("norm", {64}, 0);
  builder.tensor("w", {256, 4}, 8);
  EXPECT_EQ(read(builder.bytes())->summarize().file_type, "Q8_0");
}

TEST(Gguf, RefusesForeignAndOldFiles) {
  EXPECT_EQ(error_of(""), "not a GGUF file");
  EXPECT_EQ(error_of("GGU"), "not a GGUF file");
  EXPECT_EQ(error_of("PK\x03\x04 and more bytes"), "not a GGUF file");
  EXPECT_EQ(error_of(GgufBuilder().version(1).bytes()), "GGUF: version 1 is not supported");
  EXPECT_EQ(error_of(GgufBuilder().version(0x531DFA01).bytes()), "GGUF: the header is damaged");
  EXPECT_EQ(error_of(GgufBuilder().version(0x03000000).bytes()),
            "GGUF: big-endian files are not supported");
  EXPECT_TRUE(read(GgufBuilder().version(2).bytes()));
}

TEST(Gguf, RefusesLyingCountsBeforeTakingMemory) {
  constexpr uint64_t kHuge = uint64_t{1} << 62;
  EXPECT_NE(error_of(small_model().key_count(kHuge).bytes()), "");
  EXPECT_NE(error_of(small_model().tensor_count(kHuge).bytes()), "");
  GgufBuilder array;
  array.raw_array("a", 4, kHuge, "");
  EXPECT_NE(error_of(array.bytes()), "");
  GgufBuilder strings;
  strings.raw_array("a", 8, 2, std::string(8, '\xff') + std::string(8, '\0'));
  EXPECT_NE(error_of(strings.bytes()), "");
  GgufBuilder nested;
  nested.raw_array("a", 9, 1, std::string(32, '\0'));
  EXPECT_EQ(error_of(nested.bytes()), "GGUF: a is an array of type 9");
}

TEST(Gguf, RefusesTensorsThatCannotBe) {
  const auto with_tensor = [](std::vector<uint64_t> shape, uint32_t type, uint64_t offset = 0) {
    GgufBuilder builder;
    builder.tensor_entry("t", std::move(shape), type, offset);
    return error_of(builder.bytes());
  };
  EXPECT_EQ(with_tensor({4}, 0), "GGUF: tensor t lies beyond the end of the file");
  EXPECT_EQ(with_tensor({1ull << 40, 1ull << 40}, 0), "GGUF: tensor t is impossibly large");
  EXPECT_EQ(with_tensor({1ull << 62}, 0), "GGUF: tensor t is impossibly large");
  EXPECT_EQ(with_tensor({33}, 2), "GGUF: rows of tensor t do not fit blocks of Q4_0");
  EXPECT_EQ(with_tensor({4}, 77), "GGUF: tensor t has the unknown type 77");
  EXPECT_EQ(with_tensor({0}, 0, 7), "GGUF: tensor t is not aligned");
  EXPECT_EQ(with_tensor({0}, 0, 1ull << 63), "GGUF: tensor t lies beyond the end of the file");
  EXPECT_EQ(with_tensor({1, 1, 1, 1, 1}, 0), "GGUF: tensor t has 5 dimensions");
}

TEST(Gguf, RefusesBadAlignmentAndRepeatedKeys) {
  for (uint32_t alignment : {0u, 3u, 1u << 31}) {
    GgufBuilder builder;
    builder.u32("general.alignment", alignment);
    EXPECT_EQ(error_of(builder.bytes()), "GGUF: general.alignment is no sensible power of two");
  }
  GgufBuilder builder;
  builder.u32("a", 1);
  builder.u32("a", 2);
  EXPECT_EQ(error_of(builder.bytes()), "GGUF: key a twice");
}

TEST(Gguf, KeepsNoMoreThanAllowed) {
  GgufBuilder builder;
  builder.text("big", std::string(1 << 20, 'x'));
  auto gguf = read(builder.bytes(), GgufOptions{.memory_max = 1 << 19});
  ASSERT_FALSE(gguf);
  EXPECT_EQ(gguf.error().code, Errc::corrupt);
  auto many = read(small_model().bytes(), GgufOptions{.memory_max = 1000});
  ASSERT_FALSE(many);
  EXPECT_EQ(many.error().code, Errc::overloaded);
}

TEST(Gguf, AnyCutOfAGoodFileIsRefused) {
  const std::string whole = small_model().bytes();
  for (size_t length = 0; length < whole.size(); length++) {
    ASSERT_FALSE(read(std::string_view(whole).substr(0, length))) << length;
  }
}

RC_GTEST_PROP(GgufProperty, ChangedBytesNeverReadOutside, ()) {
  static const std::string whole = small_model().bytes();
  std::string bytes = whole;
  for (int i = *rc::gen::inRange(1, 6); i > 0; i--) {
    auto at = *rc::gen::inRange<size_t>(0, bytes.size() - 8);
    // Whole fields are more telling than bytes.
    auto value = *rc::gen::element<uint64_t>(0, 1, 8, 9, 255, UINT32_MAX, UINT64_MAX, 1ull << 63);
    std::memcpy(bytes.data() + at, &value, *rc::gen::element<size_t>(1, 4, 8));
  }
  if (auto gguf = read(bytes)) {
    GgufSummary summary = gguf->summarize();
    RC_ASSERT(summary.tensor_bytes <= bytes.size() * gguf->tensors.size());
    gguf->model_info(true);
    gguf->tensor_list();
  }
}

}  // namespace
}  // namespace om::model
