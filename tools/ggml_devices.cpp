// Prints the devices that ggml's backends find, one JSON object a line, for the node: llama-server
// --list-devices does not say which of them share the machine's memory. Built beside llama-server
// by tools/build_llama.sh.
//
//   {"name":"CUDA0","description":"NVIDIA L4","type":"gpu","total":23609475072,"free":23363125248}
#include <cstdio>
#include <nlohmann/json.hpp>

#include "ggml-backend.h"

namespace {

const char* type_of(ggml_backend_dev_t device) {
  switch (ggml_backend_dev_type(device)) {
    case GGML_BACKEND_DEVICE_TYPE_CPU:
      return "cpu";
    case GGML_BACKEND_DEVICE_TYPE_GPU:
      return "gpu";
    case GGML_BACKEND_DEVICE_TYPE_IGPU:
      return "igpu";
    default:
      return "other";
  }
}

}  // namespace

int main() {
  ggml_backend_load_all();
  for (size_t i = 0; i < ggml_backend_dev_count(); i++) {
    ggml_backend_dev_t device = ggml_backend_dev_get(i);
    size_t free = 0, total = 0;
    ggml_backend_dev_memory(device, &free, &total);
    const nlohmann::ordered_json line{{"name", ggml_backend_dev_name(device)},
                                      {"description", ggml_backend_dev_description(device)},
                                      {"type", type_of(device)},
                                      {"total", total},
                                      {"free", free}};
    std::puts(line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  }
}
