// Reads the header of a GGUF file: metadata and tensor table, never the weights.
// Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace om::model {

struct GgufTensor {
  std::string name;
  std::vector<uint64_t> shape;
  uint32_t type = 0;
  uint64_t offset = 0, size = 0;  // Bytes, offset from the start of the data section.
};

// What most callers want of a header.
struct GgufSummary {
  std::string architecture, name, file_type, parameter_size;  // "Q4_K_M", "134.52M".
  std::string chat_template;        // Jinja, default variant.
  std::string chat_template_tools;  // The tool_use variant, if there is one.
  std::string bos_token, eos_token;
  bool add_bos = false, add_eos = false;
  bool has_pooling = false, has_vision = false, has_audio = false;
  int64_t block_count = 0, context_length = 0, embedding_length = 0;
  uint64_t parameter_count = 0;
};

}  // namespace om::model
