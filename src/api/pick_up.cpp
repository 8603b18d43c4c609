#include "api/pick_up.h"

#include <algorithm>
#include <iterator>

#include "base/digest.h"
#include "base/strings.h"

namespace om::api {

std::string EventNumbers::pass(std::string_view text) {
  const std::string_view end = event_stream_ ? "\n\n" : "\n";
  std::string out;
  while (!text.empty()) {
    const size_t found = text.find(end);
    const size_t size = found == text.npos ? text.size() : found + end.size();
    if (++number_ > seen_) {
      if (event_stream_) fmt::format_to(std::back_inserter(out), "id: {}\n", number_);
      out += text.substr(0, size);
    }
    text.remove_prefix(size);
  }
  return out;
}

Result<void> EventNumbers::begin_new(uint64_t unsent) const {
  if (std::max(number_, unsent) >= seen_) return {};
  return fail(Errc::not_found,
              "what came of this answer before event {} is not kept any more: ask again without "
              "Last-Event-ID for a new one",
              seen_ + 1);
}

Result<std::optional<PickUp>> read_pick_up(const http::Headers& headers, std::string_view path) {
  const std::string_view key = headers.get("Idempotency-Key");
  const std::string_view last = headers.get("Last-Event-ID");
  if (key.empty()) {
    if (last.empty()) return std::nullopt;
    return fail(Errc::invalid_argument, "Last-Event-ID needs the Idempotency-Key of its stream");
  }
  const bool printable = std::ranges::all_of(key, [](char c) { return c >= ' ' && c <= '~'; });
  if (key.size() > kIdempotencyKeyMax || !printable) {
    return fail(Errc::invalid_argument,
                "Idempotency-Key must have at most {} printable characters of ASCII",
                kIdempotencyKeyMax);
  }
  const auto seen = last.empty() ? std::optional<uint64_t>(0) : parse_number<uint64_t>(last);
  if (!seen) return fail(Errc::invalid_argument, "Last-Event-ID must be the number of an event");
  Hasher hasher;
  for (const std::string_view part :
       {headers.get("Authorization"), headers.get("X-Api-Key"), path, key}) {
    hasher.update(part);
    hasher.update("\n");
  }
  return PickUp{hasher.finish().hex(), EventNumbers(*seen)};
}

}  // namespace om::api
