// How many members the JSON objects of one request may have that llama.cpp's library reads (tools,
// arguments and results of past calls, a format's schema). Its objects (nlohmann's ordered_json)
// are lists: for each member all before it are looked at, 5 ns each, on the io thread and at every
// rendering. What it makes of them recurses with each level.
// Private to this room.
#pragma once

#include <cstddef>
#include <string_view>

#include "base/result.h"

namespace om::prompt {

inline constexpr size_t kMembersMax = 5'000;  // Of one object, if no other has many.
inline constexpr size_t kLevelsMax = 128;     // Requests' own JSON nests less deep.

class MemberBudget {
 public:
  // invalid_argument, with the bound: together with what was added before they are too many; a
  // text also if it nests too deep.
  Result<void> add(size_t members);
  // Adds each object in the text, also those of JSON that is cut off or broken.
  Result<void> add_text(std::string_view json);

 private:
  size_t comparisons_ = 0;
};

}  // namespace om::prompt
