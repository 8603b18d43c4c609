// Output items of /v1/responses, kept for a while: some clients name an item of an earlier answer
// by its id ("item_reference") instead of sending it again. The Vercel AI SDK does so from the
// second turn on, unless told otherwise.
#pragma once

#include <boost/json.hpp>
#include <string>

#include "base/lru_cache.h"
#include "base/result.h"

namespace om::api {

// In memory, of this node only, the latest ones. On the io thread.
class ResponseItems {
 public:
  // `item`: the item's JSON. Items that are too large are not kept.
  void keep(std::string id, std::string item);

  // Replaces references in the request's `input` by the items. invalid_argument: an id that is not,
  // or no longer, known; the text is for the client's author.
  Result<void> resolve(boost::json::object& body);

 private:
  static constexpr size_t kItemsMax = 20'000;
  static constexpr size_t kBytesMax = 32 << 20;

  LruCache<std::string, std::string> items_{"response_items",
                                            {.entries_max = kItemsMax, .bytes_max = kBytesMax}};
};

}  // namespace om::api
