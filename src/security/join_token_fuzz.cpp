// Any bytes as a join token: refused, or one that is written the same way again.
#include "base/check.h"
#include "security/join_token.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace om::security;
  const auto token = parse_join_token({reinterpret_cast<const char*>(data), size});
  if (!token) return 0;
  const auto again = parse_join_token(join_token_text(*token));
  CHECK(again && again->id == token->id && again->ca_pin == token->ca_pin &&
        again->expires == token->expires && again->endpoints == token->endpoints &&
        again->secret.reveal() == token->secret.reveal());
  return 0;
}
