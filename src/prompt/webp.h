// Images as WebP, which llama.cpp's reader (stb_image) does not know: they are sent as PNG, as
// Ollama does. RFC 9649 (WebP), RFC 2083 (PNG).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"

namespace om::prompt {

inline constexpr size_t kWebpPixelsMax = 34 << 20;  // 8K; six bytes each while it is read.

bool is_webp(std::string_view bytes);

// Without an alpha channel. Takes a tenth of a second for a photograph. invalid_argument: broken,
// animated or too large.
Result<std::string> png_of_webp(std::string_view bytes);

}  // namespace om::prompt
