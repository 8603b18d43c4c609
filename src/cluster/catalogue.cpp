#include "cluster/catalogue.h"

#include "base/log.h"
#include "base/strings.h"

namespace om::cluster {

std::string catalogue_key(const model::Name& name) {
  std::string key = name.str();
  for (char& c : key) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return key;
}

Catalogue::Catalogue(io::World& world, metadata::Metadata& metadata, const store::Store& store,
                     io::Path file)
    : world_(world),
      metadata_(metadata),
      store_(store),
      facts_(world, metadata, std::string(kModelsPrefix), std::move(file)) {
  facts_.on_change([this](const std::string& key, const std::string* value) { take(key, value); });
}

Catalogue::~Catalogue() = default;

void Catalogue::take(const std::string& key, const std::string* value) {
  const auto known = cards_.find(key);
  std::optional<Card> before;
  if (known != cards_.end()) before = known->second;
  const Card* now = nullptr;
  if (value) {
    auto card = read_card(*value, store_);
    if (!card) {
      log_warn("a model of the catalogue cannot be read", field("model", key),
               field("error", card.error()));
      return;
    }
    now = &(cards_[key] = std::move(*card));
  } else {
    cards_.erase(key);
  }
  if (callback_) callback_(key, before ? &*before : nullptr, now);
}

const Card* Catalogue::find(const model::Name& name) const {
  const auto found = cards_.find(catalogue_key(name));
  return found == cards_.end() ? nullptr : &found->second;
}

std::vector<const Card*> Catalogue::list() const {
  std::vector<const Card*> cards;
  cards.reserve(cards_.size());
  for (const auto& [key, card] : cards_) cards.push_back(&card);
  return cards;
}

io::Task<Result<void>> Catalogue::write(std::string key, std::string value, io::Call call) {
  metadata::Transaction transaction;
  transaction.operations.push_back(
      metadata::Operation::put(std::string(kModelsPrefix) + key, value));
  transaction.operations.push_back(metadata::Operation::remove(std::string(kRemovedPrefix) + key));
  CO_TRY(const metadata::Commit commit, co_await metadata_.commit(std::move(transaction), call));
  facts_.apply(key, &value, commit.revision);
  co_return Result<void>{};
}

io::Task<Result<void>> Catalogue::put(const store::Model& model, std::string_view manifest,
                                      io::Call call) {
  CO_TRY(std::string value, write_card(model, manifest));
  co_return co_await write(catalogue_key(model.name), std::move(value), std::move(call));
}

io::Task<Result<bool>> Catalogue::put_new(const store::Model& model, std::string_view manifest,
                                          io::Call call) {
  CO_TRY(std::string value, write_card(model, manifest));
  std::string key = catalogue_key(model.name);
  metadata::Transaction transaction;
  std::string full_key = std::string(kModelsPrefix) + key;
  transaction.compares.push_back(metadata::Compare::absent(full_key));
  transaction.operations.push_back(metadata::Operation::put(full_key, value));
  CO_TRY(const metadata::Commit commit, co_await metadata_.commit(std::move(transaction), call));
  if (commit.done) facts_.apply(key, &value, commit.revision);
  co_return commit.done;
}

io::Task<Result<void>> Catalogue::copy(const model::Name& from, const model::Name& to,
                                       io::Call call) {
  const Card* card = find(from);
  if (!card) co_return fail(Errc::not_found, "model \"{}\" not found", from.shortest());
  store::Model model = *card->model;
  const std::string manifest = card->manifest;
  model.name = to;
  co_return co_await put(model, manifest, std::move(call));
}

io::Task<Result<bool>> Catalogue::remove(const model::Name& name, io::Call call) {
  std::string key = catalogue_key(name);
  const Card* card = find(name);
  if (!card) co_return false;
  const auto now = std::chrono::floor<std::chrono::seconds>(world_.clock.wall_now());
  const boost::json::object tombstone{{"digest", card->model->digest.str()},
                                      {"at", now.time_since_epoch().count()}};
  metadata::Transaction transaction;
  transaction.operations.push_back(metadata::Operation::put(std::string(kRemovedPrefix) + key,
                                                            boost::json::serialize(tombstone)));
  transaction.operations.push_back(metadata::Operation::remove(std::string(kModelsPrefix) + key));
  CO_TRY(const metadata::Commit commit, co_await metadata_.commit(std::move(transaction), call));
  facts_.apply(key, nullptr, commit.revision);
  co_return true;
}

}  // namespace om::cluster
