#include "sim/models_for_test.h"

#include <span>

#include "model/gguf_builder.h"
#include "sim/random.h"

namespace om::sim {
namespace {

constexpr std::string_view kTemplate =
    "{{- range .Messages }}[{{ .Role }}]{{ .Content }}{{ end }}[assistant]";

// With these keys and values 64 MiB a layer, at a context of 2048: all together are more than one
// node of 800 MiB has, and less than two.
constexpr uint32_t kLargeBlocks = 16, kLargeKeyLength = 2048;
constexpr uint64_t kRowBytes = 256;

// A small llama; the number makes the bytes of each model its own. `rows` of 256 bytes make it
// larger on disk, and no two of its pieces are alike.
std::string tiny_gguf(int number, ModelSize size, uint64_t rows = 0) {
  const bool large = size == ModelSize::larger_than_a_node;
  const uint32_t blocks = large ? kLargeBlocks : 2;
  model::GgufBuilder gguf;
  gguf.text("general.architecture", "llama").text("general.name", fmt::format("tiny {}", number));
  gguf.u32("llama.block_count", blocks).u32("llama.context_length", 8192);
  gguf.u32("llama.embedding_length", 64).u32("llama.feed_forward_length", 128);
  gguf.u32("llama.attention.head_count", 4).u32("llama.attention.head_count_kv", 4);
  if (large) {
    gguf.u32("llama.attention.key_length", kLargeKeyLength);
    gguf.u32("llama.attention.value_length", kLargeKeyLength);
  }
  gguf.texts("tokenizer.ggml.tokens", {"a", "b", "c"});
  gguf.tensor("token_embd.weight", {64, 3}, 0);
  for (uint32_t block = 0; block < blocks; block++) {
    gguf.tensor(fmt::format("blk.{}.attn_q.weight", block), {64, 64}, 0);
  }
  if (rows == 0) return gguf.bytes();
  gguf.tensor("blk.0.ffn_up.weight", {64, rows}, 0);
  std::string bytes = gguf.bytes();
  const auto filled = std::span(bytes).last(rows * kRowBytes);
  SimRandom(static_cast<uint64_t>(number))
      .fill({reinterpret_cast<uint8_t*>(filled.data()), filled.size()});
  return bytes;
}

model::Layer layer_of(std::string media_type, const std::string& bytes) {
  return {std::move(media_type), Digest::of(bytes), bytes.size(), ""};
}

ModelFiles files_of(std::string weights, std::string config) {
  const std::string prefix(model::kLayerMediaPrefix), chat_template(kTemplate);
  ModelFiles files;
  files.manifest.config = layer_of(std::string(model::kConfigMediaType), config);
  files.manifest.layers.push_back(layer_of(prefix + "model", weights));
  files.manifest.layers.push_back(layer_of(prefix + "template", chat_template));
  files.blobs = {std::move(config), std::move(weights), chat_template};
  return files;
}

}  // namespace

std::string model_name(int number) {
  const bool pulled = number >= kPulledFirst;
  return pulled ? fmt::format("{}:{}/test/m{}:latest", kRegistryAddress, kRegistryPort, number)
                : fmt::format("m{}:latest", number);
}

std::string chat_turn(std::string_view role, std::string_view content) {
  return fmt::format("[{}]{}", role, content);
}

std::string chat_prompt(std::string_view question) {
  return chat_turn("user", question) + chat_turn("assistant", "");
}

io::Task<Result<void>> put_model(store::Store& store, int number, ModelSize size) {
  const ModelFiles files =
      files_of(tiny_gguf(number, size), R"({"model_format":"gguf","model_family":"llama"})");
  for (const std::string& blob : files.blobs) CO_TRY_VOID(co_await store.put_blob(blob));
  CO_TRY(const model::Name name, model::Name::parse(model_name(number)));
  co_return co_await store.put_manifest(name, files.manifest.to_json());
}

ModelFiles pulled_model(int number, int weights, uint64_t weights_bytes) {
  return files_of(
      tiny_gguf(weights, ModelSize::small, weights_bytes / kRowBytes),
      fmt::format(R"({{"model_format":"gguf","model_family":"llama","model_type":"{}"}})", number));
}

}  // namespace om::sim
