#include "sim/models_for_test.h"

#include "model/gguf_builder.h"

namespace om::sim {
namespace {

constexpr std::string_view kTemplate =
    "{{- range .Messages }}[{{ .Role }}]{{ .Content }}{{ end }}[assistant]";

// Two layers of a small llama; the number makes the bytes of each model its own.
std::string tiny_gguf(int number) {
  model::GgufBuilder gguf;
  gguf.text("general.architecture", "llama").text("general.name", fmt::format("tiny {}", number));
  gguf.u32("llama.block_count", 2).u32("llama.context_length", 8192);
  gguf.u32("llama.embedding_length", 64).u32("llama.feed_forward_length", 128);
  gguf.u32("llama.attention.head_count", 4).u32("llama.attention.head_count_kv", 4);
  gguf.texts("tokenizer.ggml.tokens", {"a", "b", "c"});
  gguf.tensor("token_embd.weight", {64, 3}, 0);
  for (int block = 0; block < 2; block++) {
    gguf.tensor(fmt::format("blk.{}.attn_q.weight", block), {64, 64}, 0);
  }
  return gguf.bytes();
}

}  // namespace

std::string model_name(int number) { return fmt::format("m{}:latest", number); }

std::string chat_prompt(std::string_view question) {
  return fmt::format("[user]{}[assistant]", question);
}

io::Task<Result<void>> put_model(store::Store& store, int number) {
  const std::string weights = tiny_gguf(number), chat_template(kTemplate);
  const std::string config = R"({"model_format":"gguf","model_family":"llama"})";
  model::Manifest manifest;
  CO_TRY(const Digest config_digest, co_await store.put_blob(config));
  manifest.config = {std::string(model::kConfigMediaType), config_digest, config.size(), ""};
  CO_TRY(const Digest weights_digest, co_await store.put_blob(weights));
  manifest.layers.push_back(
      {std::string(model::kLayerMediaPrefix) + "model", weights_digest, weights.size(), ""});
  CO_TRY(const Digest template_digest, co_await store.put_blob(chat_template));
  manifest.layers.push_back({std::string(model::kLayerMediaPrefix) + "template", template_digest,
                             chat_template.size(), ""});
  CO_TRY(const model::Name name, model::Name::parse(model_name(number)));
  co_return co_await store.put_manifest(name, manifest.to_json());
}

}  // namespace om::sim
