// A model's card: all that `show`, rendering and scheduling need, without the weights. The
// catalogue keeps it, so that a node can answer for models whose files lie on other nodes.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/version.h"
#include "store/store.h"

namespace om::cluster {

// A card is small: licences are left out when they would make it larger than this.
inline constexpr size_t kCardBytesMax = 512 << 10;

// JSON. `manifest`: the manifest's text, byte for byte. `by`: the version of the program that read
// these fields from the model's files.
Result<std::string> write_card(const store::Model& model, std::string_view manifest,
                               std::string_view by = kVersion);

// `model` with model_info and projector_info, read from its files on this disk. Slow: for workers.
Result<store::Model> with_headers(io::Filesystem& files, store::Model model);

struct Card {
  std::string manifest;
  std::string by;                             // Empty: of a version before 0.3.
  std::shared_ptr<const store::Model> model;  // Its paths: where `store` keeps such blobs.
};

// corrupt: not a card, or the manifest in it does not have the digest that the card says.
Result<Card> read_card(std::string_view json, const store::Store& store);

}  // namespace om::cluster
