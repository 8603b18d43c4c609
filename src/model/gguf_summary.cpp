#include <algorithm>
#include <map>

#include "base/duration.h"
#include "model/gguf.h"

namespace om::model {
namespace {

constexpr uint64_t kLayersMax = 4096;    // More is a lie; the largest models have some 130.
constexpr uint64_t kWidthMax = 1 << 24;  // Elements of one layer's keys for one token.
constexpr int64_t kCountMax = int64_t{1} << 40;

// Looks up metadata of the file's architecture: "attention.head_count" is
// "llama.attention.head_count" in a llama file.
class Keys {
 public:
  explicit Keys(const Gguf& gguf) : gguf_(gguf) { architecture_ = text("general.architecture"); }

  const std::string& architecture() const { return architecture_; }
  const boost::json::value* find(std::string_view key) const {
    return gguf_.metadata.if_contains(key);
  }
  const boost::json::value* find_own(std::string_view key) const {
    return find(architecture_ + '.' + std::string(key));
  }

  std::string text(std::string_view key) const {
    const auto* value = find(key);
    return value && value->is_string() ? std::string(value->get_string()) : std::string();
  }
  bool flag(std::string_view key) const {
    const auto* value = find(key);
    return value && value->is_bool() && value->get_bool();
  }

  // A count that makes sense, else `fallback`.
  static int64_t count(const boost::json::value* value, int64_t fallback) {
    if (!value || !value->is_number()) return fallback;
    boost::system::error_code error;
    auto number = value->to_number<int64_t>(error);
    return error || number < 0 || number > kCountMax ? fallback : number;
  }
  int64_t own(std::string_view key, int64_t fallback = 0) const {
    return count(find_own(key), fallback);
  }

  // A value that may be one for all layers or a list with one for each.
  int64_t of_layer(std::string_view key, uint64_t layer, int64_t fallback) const {
    const auto* value = find_own(key);
    const auto* list = value ? value->if_array() : nullptr;
    if (!list) return count(value, fallback);
    return layer < list->size() ? count(&(*list)[layer], fallback) : fallback;
  }

 private:
  const Gguf& gguf_;
  std::string architecture_;
};

// Which layers look at a window only, where the file itself does not say: every `period`-th layer
// sees everything, the last of a group or (dense_first) the first. From llama.cpp's model sources.
struct SlidingPattern {
  std::string_view architecture;
  int64_t period;
  bool dense_first = false;
};

constexpr SlidingPattern kSlidingPatterns[] = {
    {"gemma2", 2},       {"gemma3", 6},           {"gemma3n", 5},
    {"cohere2", 4},      {"cohere2moe", 4, true}, {"gpt-oss", 2},
    {"exaone4", 4},      {"exaone-moe", 4},       {"olmo2", 4},
    {"plamo3", 8},       {"llama4", 4},           {"afmoe", 4},
    {"mellum", 4},       {"laguna", 4, true},     {"smallthinker", 4, true},
    {"muse-glimmer", 4},
};

constexpr int64_t kLlama4Window = 8192;  // llama.cpp's, whatever the file says.

bool slides(const Keys& keys, uint64_t layer) {
  const auto* told = keys.find_own("attention.sliding_window_pattern");
  if (told && told->is_array()) {
    const auto& list = told->get_array();
    if (layer >= list.size()) return false;
    const auto& value = list[layer];
    return value.is_bool() ? value.get_bool() : Keys::count(&value, 0) != 0;
  }
  const auto* known =
      std::ranges::find(kSlidingPatterns, keys.architecture(), &SlidingPattern::architecture);
  // An architecture we do not know has no sliding layers: the estimate is then too high, not low.
  if (known == std::end(kSlidingPatterns)) return false;
  auto period = static_cast<uint64_t>(std::max<int64_t>(Keys::count(told, known->period), 0));
  if (period == 0) return true;
  return known->dense_first ? layer % period != 0 : layer % period < period - 1;
}

// Encoders and diffusion models that llama.cpp runs without a cache.
bool keeps_cache(std::string_view architecture) {
  constexpr std::string_view kWithout[] = {
      "bert",     "jina-bert-v2", "jina-bert-v3",     "nomic-bert",  "nomic-bert-moe",
      "neo-bert", "eurobert",     "wavtokenizer-dec", "modern-bert", "gemma-embedding",
      "dream",    "llada",        "llada-moe",        "rnd1",        "t5encoder",
      "clip"};
  return std::ranges::find(kWithout, architecture) == std::end(kWithout);
}

// True if this layer has a recurrent state in place of keys and values.
bool is_recurrent(const Keys& keys, uint64_t layer) {
  const auto* told = keys.find_own("attention.recurrent_layers");
  if (told && told->is_array() && layer < told->get_array().size()) {
    const auto& value = told->get_array()[layer];
    return value.is_bool() ? value.get_bool() : Keys::count(&value, 0) != 0;
  }
  // Qwen's hybrids: every full_attention_interval-th layer attends, the others are recurrent.
  const std::string& name = keys.architecture();
  bool qwen = name == "qwen3next" || name == "qwen35" || name == "qwen35moe";
  int64_t interval = keys.own("full_attention_interval", qwen ? 4 : 0);
  return interval > 1 && (layer + 1) % static_cast<uint64_t>(interval) != 0;
}

std::vector<GgufCacheLayer> cache_layers(const Keys& keys, const GgufSummary& summary) {
  std::vector<GgufCacheLayer> layers;
  if (!keeps_cache(summary.architecture)) return layers;
  int64_t last = summary.block_count - keys.own("nextn_predict_layers") -
                 keys.own("attention.shared_kv_layers");
  int64_t default_length =
      summary.head_count > 0 ? summary.embedding_length / summary.head_count : 0;
  bool latent = keys.own("attention.key_length_mla") > 0;  // Keys serve as values too.
  for (int64_t i = 0; i < std::min<int64_t>(last, kLayersMax); i++) {
    auto layer = static_cast<uint64_t>(i);
    if (is_recurrent(keys, layer)) continue;
    int64_t heads = keys.of_layer("attention.head_count", layer, summary.head_count);
    heads = keys.of_layer("attention.head_count_kv", layer, heads);
    int64_t key_length = keys.own("attention.key_length", default_length);
    int64_t value_length = keys.own("attention.value_length", default_length);
    GgufCacheLayer entry;
    entry.sliding = summary.sliding_window > 0 && slides(keys, layer);
    if (entry.sliding) {
      key_length = keys.own("attention.key_length_swa", key_length);
      value_length = keys.own("attention.value_length_swa", value_length);
    }
    const auto width = [heads](int64_t length) {
      uint64_t product = 0;
      bool over = __builtin_mul_overflow(static_cast<uint64_t>(heads),
                                         static_cast<uint64_t>(length), &product);
      return over ? kWidthMax : std::min(product, kWidthMax);
    };
    entry.key_width = width(key_length);
    entry.value_width = latent ? 0 : width(value_length);
    if (entry.key_width + entry.value_width > 0) layers.push_back(entry);
  }
  return layers;
}

// Mamba-like layers and short convolutions keep a state of fixed size for each sequence.
uint64_t state_bytes(const Keys& keys, const GgufSummary& summary) {
  int64_t recurrent = 0;
  bool all = keys.find_own("attention.head_count_kv") == nullptr && summary.head_count == 0;
  for (int64_t i = 0; i < std::min<int64_t>(summary.block_count, kLayersMax); i++) {
    bool no_heads = keys.of_layer("attention.head_count_kv", static_cast<uint64_t>(i), 1) == 0;
    recurrent += all || no_heads || is_recurrent(keys, static_cast<uint64_t>(i));
  }
  const auto bounded = [](int64_t value) { return std::min<int64_t>(value, 1 << 20); };
  int64_t inner = bounded(keys.own("ssm.inner_size"));
  int64_t state = bounded(keys.own("ssm.state_size"));
  int64_t groups = bounded(keys.own("ssm.group_count"));
  int64_t kernel = bounded(keys.own("ssm.conv_kernel"));
  double elements = static_cast<double>(state) * static_cast<double>(inner);
  elements += static_cast<double>(std::max<int64_t>(kernel - 1, 0)) *
              (static_cast<double>(inner) + 2.0 * static_cast<double>(groups * state));
  if (int64_t cache = bounded(keys.own("shortconv.l_cache")); cache > 0) {
    elements = static_cast<double>(cache - 1) * static_cast<double>(summary.embedding_length);
  }
  if (int64_t head = bounded(keys.own("wkv.head_size")); head > 0) {
    elements = static_cast<double>(head + 2) * static_cast<double>(summary.embedding_length);
  }
  double bytes = elements * 4.0 * static_cast<double>(recurrent);
  return static_cast<uint64_t>(std::min(bytes, 1e15));
}

// The type most weights have, where general.file_type is missing.
std::string majority_type(const Gguf& gguf) {
  std::map<uint32_t, uint64_t> bytes;
  for (const GgufTensor& tensor : gguf.tensors) {
    if (tensor.shape.size() > 1) bytes[tensor.type] += tensor.size;
  }
  auto most = std::ranges::max_element(bytes, {}, [](const auto& entry) { return entry.second; });
  if (most == bytes.end()) return "unknown";
  return std::string(gguf_tensor_type(most->first)->name);
}

// llama.cpp keeps a second copy of these for its AVX2 kernels; the file stays mapped beside it.
bool is_repacked(const GgufTensor& tensor) {
  std::string_view type = gguf_tensor_type(tensor.type)->name;
  bool has_kernel = type == "Q4_0" || type == "Q4_K" || type == "IQ4_NL" || type == "MXFP4";
  return has_kernel && tensor.name.starts_with("blk.") && tensor.shape.size() > 1 &&
         tensor.shape[1] % 8 == 0;
}

bool has_tensor_prefix(const Gguf& gguf, std::string_view prefix) {
  return std::ranges::any_of(
      gguf.tensors, [prefix](const GgufTensor& tensor) { return tensor.name.starts_with(prefix); });
}

// Which bytes lie where, for cutting a model between its blocks.
void summarize_places(const Gguf& gguf, GgufSummary& summary) {
  std::map<std::string_view, uint64_t> blocks;  // By number.
  bool own_output = false;
  for (const GgufTensor& tensor : gguf.tensors) {
    const std::string_view name = tensor.name;
    if (name.starts_with("blk.")) {
      const std::string_view rest = name.substr(4);
      blocks[rest.substr(0, rest.find('.'))] += tensor.size;
    } else if (name.starts_with("output")) {
      summary.output_bytes += tensor.size;
      own_output |= name == "output.weight";
    } else {
      summary.input_bytes += tensor.size;
    }
  }
  for (const auto& [number, bytes] : blocks) {
    summary.block_bytes_max = std::max(summary.block_bytes_max, bytes);
  }
  if (!own_output) summary.output_bytes += summary.input_bytes;
}

void summarize_media(const Gguf& gguf, const Keys& keys, GgufSummary& summary) {
  if (summary.is_projector()) {
    bool audio_only = keys.flag("clip.has_audio_encoder") && !keys.flag("clip.has_vision_encoder");
    summary.has_audio = keys.flag("clip.has_audio_encoder") || has_tensor_prefix(gguf, "a.");
    // Old projectors do not say it: all of them are for images.
    summary.has_vision = !audio_only;
  } else {
    // Ollama's own files may hold the encoder beside the model.
    summary.has_vision = keys.find_own("vision.block_count") != nullptr;
    summary.has_audio = keys.find_own("audio.block_count") != nullptr;
  }
}

}  // namespace

bool GgufSummary::is_projector() const {
  return architecture == "clip" || type == "mmproj" || type == "projector";
}

bool GgufSummary::is_adapter() const { return type == "adapter"; }

GgufSummary Gguf::summarize() const {
  Keys keys(*this);
  GgufSummary summary;
  summary.architecture = keys.architecture();
  summary.name = keys.text("general.name");
  summary.type = keys.text("general.type");
  summary.chat_template = keys.text("tokenizer.chat_template");
  summary.chat_template_tools = keys.text("tokenizer.chat_template.tool_use");
  summary.bos_token = bos_token;
  summary.eos_token = eos_token;
  summary.add_bos = keys.flag("tokenizer.ggml.add_bos_token");
  summary.add_eos = keys.flag("tokenizer.ggml.add_eos_token");
  summary.has_pooling = keys.find_own("pooling_type") != nullptr;
  summary.pooling_type = static_cast<int>(std::min<int64_t>(keys.own("pooling_type", -1), 255));
  summary.block_count = keys.own("block_count");
  summary.context_length = keys.own("context_length");
  summary.embedding_length = keys.own("embedding_length");
  summary.head_count = keys.of_layer("attention.head_count", 0, 0);
  summary.feed_forward_length = keys.of_layer("feed_forward_length", 0, 0);
  summary.expert_count = keys.own("expert_count");
  summary.expert_used_count = keys.own("expert_used_count");
  summary.expert_feed_forward_length = keys.of_layer("expert_feed_forward_length", 0, 0);
  int64_t head_length = summary.head_count > 0 ? summary.embedding_length / summary.head_count : 0;
  head_length = keys.own("attention.key_length", head_length);
  summary.query_width =
      std::min<int64_t>(summary.head_count, kWidthMax) * std::min<int64_t>(head_length, kWidthMax);
  summary.split_count = Keys::count(keys.find("split.count"), 0);
  summary.sliding_window = summary.architecture == "llama4" ? kLlama4Window
                           : summary.architecture == "phi3" ? 0  // Switched off in llama.cpp.
                                                            : keys.own("attention.sliding_window");
  auto tokens = arrays.find("tokenizer.ggml.tokens");
  summary.vocabulary_size = keys.own(
      "vocab_size", tokens == arrays.end() ? 0 : static_cast<int64_t>(tokens->second.count));

  const auto* file_type = keys.find("general.file_type");
  summary.file_type =
      file_type ? std::string(gguf_file_type(static_cast<uint32_t>(Keys::count(file_type, 0xFFFF))))
                : majority_type(*this);
  for (const GgufTensor& tensor : tensors) {
    uint64_t elements = 1;
    for (uint64_t length : tensor.shape) elements *= length;  // The reader saw that it fits.
    summary.parameter_count += elements;
    summary.tensor_bytes += tensor.size;
    if (is_repacked(tensor)) summary.repack_bytes += tensor.size;
  }
  summary.parameter_size = format_count(summary.parameter_count);
  summarize_places(*this, summary);
  summarize_media(*this, keys, summary);
  summary.cache_layers = cache_layers(keys, summary);
  summary.state_bytes = state_bytes(keys, summary);
  return summary;
}

boost::json::object Gguf::model_info(bool verbose) const {
  constexpr size_t kShownElementsMax = 5;
  boost::json::object info;
  for (const auto& [key, value] : metadata) {
    std::string_view name = key;
    if (name == "general.name" || name == "tokenizer.chat_template") continue;
    if (!verbose && value.is_array() && value.get_array().size() > kShownElementsMax) {
      info[name] = boost::json::array();
    } else {
      info[name] = value;
    }
  }
  uint64_t parameters = 0;
  for (const GgufTensor& tensor : tensors) {
    uint64_t elements = 1;
    for (uint64_t length : tensor.shape) elements *= length;
    parameters += elements;
  }
  info["general.parameter_count"] = parameters;
  return info;
}

boost::json::array Gguf::tensor_list() const {
  boost::json::array list;
  for (const GgufTensor& tensor : tensors) {
    boost::json::object entry;
    entry["name"] = tensor.name;
    entry["type"] = gguf_tensor_type(tensor.type)->name;
    entry["shape"] = boost::json::array(tensor.shape.begin(), tensor.shape.end());
    list.push_back(std::move(entry));
  }
  return list;
}

}  // namespace om::model
