// Base64 (RFC 4648). Decoding accepts and refuses exactly what Go's encoding/base64 does, with its
// error text, because Ollama's clients see that text for broken images.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace om {

enum class Base64 {
  standard,      // '+' and '/', padded with '='. Line breaks between the letters are skipped.
  url_unpadded,  // '-' and '_', no padding (JWT, tokens).
};

std::string base64_encode(std::string_view bytes, Base64 form = Base64::standard);

// invalid_argument: "illegal base64 data at input byte N".
Result<std::string> base64_decode(std::string_view text, Base64 form = Base64::standard);

}  // namespace om
