// Any bytes as certificate, chain, request, key and node name: a value or an error, never more.
#include "base/check.h"
#include "security/authority.h"
#include "security/certificates.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace om::security;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const om::io::WallTime now{std::chrono::seconds(1'800'000'000)};
  if (const auto facts = read_certificate(text)) {
    CHECK(!facts->name.empty() && facts->serial.size() >= 32);
    (void)needs_renewal(*facts, now);
    (void)issue_time(facts->serial);
    CHECK(find_pinned(text, facts->fingerprint).has_value());
    (void)verify_certificate(text, text, now);
  }
  if (const auto name = requested_name(text)) CHECK(check_node_name(*name).has_value());
  (void)check_key_pair(text, Secret(text));
  (void)check_node_name(text);
  (void)canonical_address(text);
  return 0;
}
