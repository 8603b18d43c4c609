// The kinds of files in a create request, from their names and first bytes. Pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/digest.h"
#include "base/result.h"

namespace om::transfer {

// invalid_argument "file path must be relative": absolute, or leaves its folder.
Result<void> check_relative_path(std::string_view path);

enum class FileKind { gguf, safetensors, other };
FileKind kind_by_name(std::string_view path);  // By extension; other: look at the bytes.

// "model-00002-of-00005.gguf": one of several files that make one model.
struct SplitName {
  std::string stem;
  int number = 0, count = 0;
  static std::optional<SplitName> parse(std::string_view path);
  std::string file_name(int part) const;
};

// The types models may be quantized to; without case, Q4_K means Q4_K_M.
// invalid_argument "unsupported quantization type X - supported types are ...".
Result<std::string> quantization_type(std::string_view asked);

}  // namespace om::transfer
