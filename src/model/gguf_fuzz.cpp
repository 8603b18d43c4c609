#include "base/check.h"
#include "model/gguf.h"

// Any bytes give a header or an error; MemorySource aborts on a read outside them.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  om::model::MemorySource source({reinterpret_cast<const char*>(data), size});
  auto gguf = om::model::read_gguf(source, {.array_length_max = 64, .memory_max = 1 << 20});
  if (!gguf) return 0;
  om::model::GgufSummary summary = gguf->summarize();
  CHECK(summary.cache_layers.size() <= 4096);
  gguf->model_info(false);
  gguf->tensor_list();
  return 0;
}
