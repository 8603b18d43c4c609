// Any bytes as a policy of copies: refused, or the same policy when it is written again.
#include "base/check.h"
#include "transfer/replicas/policy.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using om::transfer::Policy;
  const auto policy = Policy::read({reinterpret_cast<const char*>(data), size});
  if (!policy) return 0;
  const auto again = Policy::read(policy->to_json());
  CHECK(again && *again == *policy);
  CHECK(policy->copies_wanted(0) <= om::transfer::kCopiesMax);
  return 0;
}
