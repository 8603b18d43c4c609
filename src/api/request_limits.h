// How much one request may bring, on every API: what a prompt costs grows with it, in places with
// its square, and all of that is done on the io thread. Errors are invalid_argument with the bound.
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

Result<void> check_list_size(const boost::json::array& list, size_t size_max,
                             std::string_view name);

Result<void> check_images(size_t count);
// Their number, that of their calls and that of their images, when they are all there: one part of
// a body may have become several messages.
Result<void> check_messages(const std::vector<model::Message>& messages);

}  // namespace om::api
