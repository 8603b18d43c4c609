// Bounds of one request, on every API: the cost of a prompt grows with its size, partly with the
// square, and the io thread pays it. Errors are invalid_argument with the bound.
#pragma once

#include <boost/json.hpp>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/chat.h"

namespace om::api {

inline constexpr size_t kMessagesMax = 16384;
inline constexpr size_t kCallsMax = 16384;
inline constexpr size_t kToolsMax = 1024;
inline constexpr size_t kImagesMax = 1024;  // Recordings count, too.
inline constexpr int64_t kTopLogprobsMax = 20;

Result<void> check_list_size(const boost::json::array& list, size_t size_max,
                             std::string_view name);

Result<void> check_top_logprobs(int64_t count);
Result<void> check_images(size_t count);
// Checks the numbers of messages, calls and images. Call when all messages are there: one part of a
// body may have become several.
Result<void> check_messages(const std::vector<model::Message>& messages);

}  // namespace om::api
