// Any bytes as another node's request for a lease: refused, or asked the same way again.
#include "base/check.h"
#include "scheduler/lease_wire.h"
#include "store/paths_only_for_test.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  om::store::PathsOnly store;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto request = om::scheduler::decode_lease_request(text, store);
  if (!request) return 0;
  const auto written = om::scheduler::encode_lease_request(request->target, request->options);
  CHECK(written.has_value());
  const auto again = om::scheduler::decode_lease_request(*written, store);
  CHECK(again && again->target.weights == request->target.weights);
  CHECK(again->target.weights_path == request->target.weights_path);
  CHECK(again->target.adapter_paths == request->target.adapter_paths);
  CHECK(again->target.runner.num_ctx == request->target.runner.num_ctx);
  CHECK(again->options.keep_alive.duration == request->options.keep_alive.duration);
  CHECK(again->options.keep_alive_min == request->options.keep_alive_min);
  CHECK(again->options.resumes == request->options.resumes);
  return 0;
}
