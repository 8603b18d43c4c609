#include <cstddef>
#include <cstdint>
#include <string_view>

#include "metadata/etcd/reply.h"

// Any bytes are a reply or corrupt, whatever was asked; every refusal has a text.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const std::string_view prefix : {"", "/ollamamax/data/"}) {
    (void)om::metadata::parse_range(text, prefix);
    const auto watch = om::metadata::parse_watch(text, prefix);
    if (!watch && watch.error().what.empty()) __builtin_trap();
  }
  (void)om::metadata::parse_transaction(text);
  (void)om::metadata::parse_lease(text);
  (void)om::metadata::parse_members(text);
  (void)om::metadata::parse_status(text);
  for (const int status : {200, 400, 503}) {
    if (om::metadata::parse_refusal(status, text).error.what.empty()) __builtin_trap();
  }
  return 0;
}
