// Reads the header of a GGUF file: metadata and tensor table, never the weights.
// Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
//
// The file is foreign input. Nothing is read outside it, every count is checked against the bytes
// that are there before memory is taken for it, and what is kept is bounded. Used from any thread.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace om::model {

// Where the bytes come from: a file of the store, or memory.
class GgufSource {
 public:
  virtual ~GgufSource() = default;
  virtual uint64_t size() const = 0;
  // Fills `into` from `offset` on; fewer bytes only at the end of the source. The reader never asks
  // for a range outside size().
  virtual Result<size_t> read_at(uint64_t offset, std::span<char> into) = 0;
};

// Bytes that outlive the source.
class MemorySource final : public GgufSource {
 public:
  explicit MemorySource(std::string_view bytes) : bytes_(bytes) {}
  uint64_t size() const override { return bytes_.size(); }
  Result<size_t> read_at(uint64_t offset, std::span<char> into) override;

 private:
  std::string_view bytes_;
};

struct GgufTensor {
  std::string name;
  std::vector<uint64_t> shape;
  uint32_t type = 0;
  uint64_t offset = 0, size = 0;  // Bytes, offset from the start of the data section.
};

// An array of the metadata, as it lies in the file.
struct GgufArray {
  uint32_t type = 0;  // Of the elements.
  uint64_t count = 0;
  uint64_t offset = 0;  // Of the first element in the file.
};

// How the layers of a model cache keys and values.
struct GgufCacheLayer {
  uint64_t key_width = 0, value_width = 0;  // Elements per token.
  bool sliding = false;                     // Sees only the last sliding_window tokens.
};

// What most callers want of a header.
struct GgufSummary {
  std::string architecture, name, file_type, parameter_size;  // "Q4_K_M", "134.52M".
  std::string chat_template;                                  // Jinja, default variant.
  std::string chat_template_tools;  // The tool_use variant, if there is one.
  std::string bos_token, eos_token;
  bool add_bos = false, add_eos = false;
  bool has_pooling = false, has_vision = false, has_audio = false;
  int64_t block_count = 0, context_length = 0, embedding_length = 0;
  uint64_t parameter_count = 0;

  std::string type;       // general.type: "model", "mmproj", "adapter", or empty.
  int pooling_type = -1;  // llama.cpp's number; -1: none given.
  int64_t head_count = 0, feed_forward_length = 0, vocabulary_size = 0, expert_count = 0;
  int64_t sliding_window = 0;                // Tokens; 0: no layer slides.
  int64_t split_count = 0;                   // Files the model is cut into; 0 or 1: this one only.
  std::vector<GgufCacheLayer> cache_layers;  // Empty: the model keeps no cache (encoders).
  uint64_t state_bytes = 0;                  // Recurrent state of one sequence.
  uint64_t tensor_bytes = 0;                 // All weights in this file.
  uint64_t input_bytes = 0;                  // Of these, before the first block.
  uint64_t output_bytes = 0;     // After the last one; a tied output is a copy of the input.
  uint64_t block_bytes_max = 0;  // Of the largest block.
  uint64_t repack_bytes = 0;     // Of these, copied into another layout on x86 CPUs.
  int64_t query_width = 0;       // Elements of one token's queries in one layer.
  int64_t expert_used_count = 0, expert_feed_forward_length = 0;

  bool is_projector() const;  // Goes beside a model (--mmproj) and is none itself.
  bool is_adapter() const;    // A LoRA.
};

struct GgufOptions {
  size_t array_length_max = 1024;        // Longer arrays become null in `metadata`.
  size_t memory_max = size_t{64} << 20;  // Bytes kept of the header, roughly.
};

struct Gguf {
  uint32_t version = 0;
  uint32_t alignment = 32;
  uint64_t data_offset = 0;
  boost::json::object metadata;  // Every key, in the file's order; long arrays are null.
  std::map<std::string, GgufArray, std::less<>> arrays;  // Every array, long or short.
  std::vector<GgufTensor> tensors;
  std::string bos_token, eos_token;  // Looked up in the vocabulary.

  GgufSummary summarize() const;
  // `model_info` of show: all keys except general.name and the chat template, and
  // general.parameter_count. Without `verbose` arrays above five elements are [] and the ones that
  // were not kept null. Verbose wants a header read with array_length_max = SIZE_MAX and a
  // memory_max of some 256 MiB: vocabularies take tens of bytes a token.
  boost::json::object model_info(bool verbose) const;
  boost::json::array tensor_list() const;  // `tensors` of show: {"name","type","shape"}.
};

// corrupt: not a GGUF, or a header that contradicts itself or the size of the file.
// unsupported: version 1, big-endian, or a tensor type this build does not know.
// overloaded: the header would take more than memory_max. io_failed: as the source says.
Result<Gguf> read_gguf(GgufSource& source, const GgufOptions& options = {});
Result<GgufSummary> read_gguf_summary(GgufSource& source);

// True if the bytes begin as a GGUF file does.
bool is_gguf(std::string_view start);

struct GgufTensorType {
  std::string_view name;  // "Q4_K"
  uint64_t block_elements = 0, block_bytes = 0;
};
const GgufTensorType* gguf_tensor_type(uint32_t type);  // Null: unknown.
std::string_view gguf_file_type(uint32_t file_type);    // "Q4_K_M"; "unknown".

}  // namespace om::model
