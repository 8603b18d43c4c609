// Any bytes as a request to the voters' proxy: no crash, and where one leads can be asked for
// again.
#include "base/check.h"
#include "peer/voter_proxy.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto to = om::peer::parse_connect(text);
  if (!to) return 0;
  const auto again = om::peer::parse_connect(fmt::format("CONNECT {} HTTP/1.1\r\n\r\n", to->str()));
  CHECK(again.has_value() && *again == *to);
  return 0;
}
