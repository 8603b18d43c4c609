#include <string_view>

#include "base/check.h"
#include "model/modelfile.h"

// Any bytes give a Modelfile or an error.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  auto parsed = om::model::Modelfile::parse(bytes);
  if (parsed) {
    CHECK(!parsed->from.empty());
    CHECK(!parsed->to_text().empty());
  }
  return 0;
}
