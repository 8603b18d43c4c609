#include "cluster/catalogue.h"

#include "base/json_fields.h"
#include "base/log.h"
#include "metadata/read_to_change.h"
#include "model/json_text.h"

namespace om::cluster {

std::optional<std::string> manifest_in(std::string_view value) {
  const auto object = model::parse_json_object(value, "model");
  if (!object) return std::nullopt;
  const boost::json::value* manifest = object->if_contains("manifest");
  if (manifest == nullptr || !manifest->is_string()) return std::nullopt;
  return std::string(manifest->get_string());
}

std::string write_tombstone(const Tombstone& tombstone) {
  return boost::json::serialize(
      boost::json::object{{"digest", tombstone.digest.str()}, {"at", tombstone.at}});
}

Result<Tombstone> read_tombstone(std::string_view json) {
  TRY(const boost::json::object object, model::parse_json_object(json, "removed model"));
  const JsonFields fields(object);
  Tombstone tombstone;
  TRY(tombstone.digest, Digest::parse(fields.text("digest")));
  fields.read("at", tombstone.at);
  return tombstone;
}

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
  std::optional<Card> card;
  if (value) {
    if (auto read = read_card(*value, store_)) {
      card = std::move(*read);
    } else {
      log_warn("a model of the catalogue cannot be read", field("model", key),
               field("error", read.error()));
    }
  }
  // One that cannot be read is unknown too: the files of what it meant before go.
  const Card* now = nullptr;
  if (card) {
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

io::Task<Result<bool>> Catalogue::write(const model::Name& name, std::string value,
                                        std::vector<metadata::Compare> compares, io::Call call) {
  const std::string key = catalogue_key(name);
  metadata::Transaction transaction;
  transaction.compares = std::move(compares);
  transaction.operations.push_back(
      metadata::Operation::put(std::string(kModelsPrefix) + key, value));
  transaction.operations.push_back(metadata::Operation::remove(std::string(kRemovedPrefix) + key));
  CO_TRY(const metadata::Commit commit, co_await metadata_.commit(std::move(transaction), call));
  if (commit.done) facts_.apply(key, &value, commit.revision);
  co_return commit.done;
}

io::Task<Result<void>> Catalogue::put_text(const model::Name& name, std::string value,
                                           io::Call call) {
  CO_TRY_VOID(co_await write(name, std::move(value), {}, std::move(call)));
  co_return Result<void>{};
}

io::Task<Result<void>> Catalogue::put(const store::Model& model, std::string_view manifest,
                                      io::Call call) {
  CO_TRY(std::string value, write_card(model, manifest));
  co_return co_await put_text(model.name, std::move(value), std::move(call));
}

io::Task<Result<bool>> Catalogue::publish_text(const model::Name& name, std::string value,
                                               std::optional<metadata::Entry> removal,
                                               io::Call call) {
  const std::string key = catalogue_key(name);
  std::vector<metadata::Compare> compares{
      metadata::Compare::absent(std::string(kModelsPrefix) + key),
      removal ? metadata::Compare::unchanged(*removal)
              : metadata::Compare::absent(std::string(kRemovedPrefix) + key)};
  co_return co_await write(name, std::move(value), std::move(compares), std::move(call));
}

io::Task<Result<bool>> Catalogue::replace_text(const model::Name& name, std::string value,
                                               metadata::Revision seen, io::Call call) {
  metadata::Compare unchanged{std::string(kModelsPrefix) + catalogue_key(name), seen, {}};
  std::vector<metadata::Compare> compares{std::move(unchanged)};
  co_return co_await write(name, std::move(value), std::move(compares), std::move(call));
}

io::Task<Result<bool>> Catalogue::copy_once(const model::Name& from, const model::Name& to,
                                            io::Call call) {
  const std::string key = std::string(kModelsPrefix) + catalogue_key(from);
  CO_TRY(const std::optional<metadata::Entry> entry,
         co_await metadata::read_to_change(world_.clock, metadata_, key, call));
  if (!entry) co_return fail(Errc::not_found, "model \"{}\" not found", from.shortest());
  CO_TRY(const Card card, read_card(entry->value, store_));
  store::Model model = *card.model;
  model.name = to;
  // What only a newer version's card has is not copied: a card signed by this one is made anew.
  const std::string by = is_older_version(card.by, kVersion) ? card.by : kVersion;
  CO_TRY(std::string value, write_card(model, card.manifest, by));
  std::vector<metadata::Compare> compares{metadata::Compare::unchanged(*entry)};
  co_return co_await write(to, std::move(value), std::move(compares), std::move(call));
}

io::Task<Result<void>> Catalogue::copy(const model::Name& from, const model::Name& to,
                                       io::Call call) {
  constexpr int kTriesMax = 3;
  for (int tries = 0; tries < kTriesMax; tries++) {
    CO_TRY(const bool done, co_await copy_once(from, to, call));
    if (done) co_return Result<void>{};
  }
  co_return fail(Errc::unavailable, "model '{}' is being replaced; try again", from.shortest());
}

io::Task<Result<void>> Catalogue::refresh(model::Name name, io::Call call) {
  const std::string key = catalogue_key(name);
  CO_TRY(const std::optional<metadata::Entry> entry,
         co_await metadata_.get(std::string(kModelsPrefix) + key, std::move(call)));
  // What the watch has told already it has told with what became of it.
  if (entry && entry->modified > facts_.revision()) {
    facts_.apply(key, &entry->value, entry->modified);
  }
  co_return Result<void>{};
}

io::Task<Result<bool>> Catalogue::remove(const model::Name& name, io::Call call) {
  const std::string key = catalogue_key(name);
  CO_TRY(const std::optional<metadata::Entry> entry,
         co_await metadata::read_to_change(world_.clock, metadata_,
                                           std::string(kModelsPrefix) + key, call));
  if (!entry) co_return false;
  Tombstone tombstone;
  // What cannot be read may go too; nobody could bring it back.
  if (const auto manifest = manifest_in(entry->value)) tombstone.digest = Digest::of(*manifest);
  const auto now = std::chrono::floor<std::chrono::seconds>(world_.clock.wall_now());
  tombstone.at = now.time_since_epoch().count();
  metadata::Transaction transaction;
  transaction.compares.push_back(metadata::Compare::unchanged(*entry));
  transaction.operations.push_back(
      metadata::Operation::put(std::string(kRemovedPrefix) + key, write_tombstone(tombstone)));
  transaction.operations.push_back(metadata::Operation::remove(std::string(kModelsPrefix) + key));
  CO_TRY(const metadata::Commit commit, co_await metadata_.commit(std::move(transaction), call));
  if (!commit.done) {
    co_return fail(Errc::unavailable, "model '{}' changed meanwhile; try again", name.shortest());
  }
  facts_.apply(key, nullptr, commit.revision);
  co_return true;
}

}  // namespace om::cluster
