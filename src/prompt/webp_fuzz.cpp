#include "prompt/webp.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto png = om::prompt::png_of_webp({reinterpret_cast<const char*>(data), size});
  if (png && !png->starts_with("\x89PNG")) __builtin_trap();
  return 0;
}
