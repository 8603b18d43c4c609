#include "prompt/member_budget.h"

#include <vector>

namespace om::prompt {
namespace {

constexpr size_t kFewMembers = 64;  // Found in less time than it takes to read them.

constexpr size_t comparisons_of(size_t members) { return members * members / 2; }

}  // namespace

Result<void> MemberBudget::add(size_t members) {
  if (members <= kFewMembers) return {};
  comparisons_ += comparisons_of(members);
  if (comparisons_ <= comparisons_of(kMembersMax)) return {};
  return fail(Errc::invalid_argument,
              "JSON objects of tools, arguments or a schema have too many members: one may have "
              "{}, several fewer each",
              kMembersMax);
}

Result<void> MemberBudget::add_text(std::string_view json) {
  std::vector<size_t> open;  // Members of the objects and lists around the place.
  bool in_string = false;
  for (size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (c == '"') {
      in_string = !in_string;
    } else if (in_string) {
      if (c == '\\') ++i;
    } else if (c == '{' || c == '[') {
      open.push_back(0);
      if (open.size() > kLevelsMax) {
        return fail(Errc::invalid_argument,
                    "JSON of tools, arguments or a schema nests more than {} levels", kLevelsMax);
      }
    } else if (c == ':' && !open.empty()) {
      ++open.back();
    } else if ((c == '}' || c == ']') && !open.empty()) {
      TRY_VOID(add(open.back()));
      open.pop_back();
    }
  }
  for (const size_t members : open) TRY_VOID(add(members));
  return {};
}

}  // namespace om::prompt
