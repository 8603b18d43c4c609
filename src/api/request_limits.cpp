#include "api/request_limits.h"

namespace om::api {
namespace {

Result<void> check_size(size_t size, size_t size_max, std::string_view name) {
  if (size <= size_max) return {};
  return fail(Errc::invalid_argument, "'{}' has {} entries, more than {}", name, size, size_max);
}

}  // namespace

Result<void> check_list_size(const boost::json::array& list, size_t size_max,
                             std::string_view name) {
  return check_size(list.size(), size_max, name);
}

Result<void> check_top_logprobs(int64_t count) {
  if (count >= 0 && count <= kTopLogprobsMax) return {};
  return fail(Errc::invalid_argument, "top_logprobs must be between 0 and {}", kTopLogprobsMax);
}

Result<void> check_images(size_t count) {
  if (count <= kImagesMax) return {};
  return fail(Errc::invalid_argument, "the request has {} images, more than {}", count, kImagesMax);
}

Result<void> check_messages(const std::vector<model::Message>& messages) {
  TRY_VOID(check_size(messages.size(), kMessagesMax, "messages"));
  size_t images = 0, calls = 0;
  for (const model::Message& message : messages) {
    images += message.images.size();
    calls += message.tool_calls.size();
  }
  if (calls > kCallsMax) {
    return fail(Errc::invalid_argument, "the request has {} tool calls, more than {}", calls,
                kCallsMax);
  }
  return check_images(images);
}

}  // namespace om::api
