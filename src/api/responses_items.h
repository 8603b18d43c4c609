// Output items of /v1/responses, kept for a while: clients that were not told to keep their
// conversation themselves name an item of an earlier answer by its id ("item_reference") instead
// of sending it again. The Vercel AI SDK does so from the second turn on.
#pragma once

#include <boost/json.hpp>
#include <string>

#include "base/lru_cache.h"
#include "base/result.h"

namespace om::api {

// In memory, of this node only, the latest ones. On the io thread.
class ResponseItems {
 public:
  // `item` is its JSON. What is too large is not kept.
  void keep(std::string id, std::string item);

  // Puts the items themselves in the place of references in the request's `input`.
  // invalid_argument: an id that is not known, or not any more, said for the client's author.
  Result<void> resolve(boost::json::object& body);

 private:
  static constexpr size_t kItemsMax = 20'000;
  static constexpr size_t kBytesMax = 32 << 20;

  LruCache<std::string, std::string> items_{"response_items",
                                            {.entries_max = kItemsMax, .bytes_max = kBytesMax}};
};

}  // namespace om::api
