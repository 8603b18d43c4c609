// Bounds that hold in every engine, so that a node may change its engine without new refusals. Pure
// functions; every refusal is invalid_argument.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "metadata/metadata.h"

namespace om::metadata {

Result<void> check_key(std::string_view key);  // 1 to kKeyBytesMax bytes.
Result<void> check_prefix(std::string_view prefix);

// Refuses too many, too large or malformed compares and operations, and operations on the same key:
// a key may be put once, and not be removed as well. (etcd refuses those, since events would not
// tell their order.)
Result<void> check_transaction(const Transaction& transaction);

Result<void> check_time_to_live(std::chrono::seconds time_to_live);  // 1 s to a day.

// The first key behind all keys that begin with `prefix`; nullopt: there is none.
std::optional<std::string> prefix_end(std::string_view prefix);

}  // namespace om::metadata
