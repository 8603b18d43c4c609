#include "transfer/replicas/catalogue.h"

#include <boost/json.hpp>
#include <charconv>

#include "base/log.h"
#include "cluster/catalogue.h"

namespace om::transfer {
namespace {

using metadata::Compare;
using metadata::Operation;
using metadata::Transaction;

constexpr std::string_view kModels = "/models/", kRemoved = "/removed/", kPolicies = "/policies/",
                           kPopularity = "/popularity/", kRemovals = "/removals/";
constexpr std::chrono::seconds kRemovalLease{60};

std::string path(std::string_view prefix, std::string_view key) {
  return std::string(prefix) + std::string(key);
}

int64_t seconds_of(io::WallTime time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

std::string model_json(const model::Name& name, std::string_view bytes) {
  return boost::json::serialize(
      boost::json::object{{"name", name.str()}, {"manifest", std::string(bytes)}});
}

Result<CatalogueModel> parse_model(const std::string& json) {
  boost::system::error_code error;
  const auto value = boost::json::parse(json, error);
  const auto* object = error ? nullptr : value.if_object();
  const auto* name = object ? object->if_contains("name") : nullptr;
  const auto* bytes = object ? object->if_contains("manifest") : nullptr;
  if (name == nullptr || bytes == nullptr || !name->is_string() || !bytes->is_string()) {
    return fail(Errc::corrupt, "not an entry of the catalogue");
  }
  CatalogueModel model;
  TRY(model.name, model::Name::parse(std::string(name->get_string())));
  model.bytes = bytes->get_string();
  model.digest = Digest::of(model.bytes);
  TRY(model.manifest, model::Manifest::parse(model.bytes));
  return model;
}

std::string tombstone(const Digest& digest, io::WallTime now) {
  return boost::json::serialize(
      boost::json::object{{"digest", digest.str()}, {"at", seconds_of(now)}});
}

struct Tombstone {
  Digest digest;
  int64_t at = 0;
};

Result<Tombstone> parse_tombstone(const std::string& json) {
  boost::system::error_code error;
  const auto value = boost::json::parse(json, error);
  const auto* object = error ? nullptr : value.if_object();
  const auto* digest = object ? object->if_contains("digest") : nullptr;
  const auto* at = object ? object->if_contains("at") : nullptr;
  if (digest == nullptr || at == nullptr || !digest->is_string() || !at->is_int64()) {
    return fail(Errc::corrupt, "not a removed model");
  }
  Tombstone parsed;
  TRY(parsed.digest, Digest::parse(std::string(digest->get_string())));
  parsed.at = at->get_int64();
  return parsed;
}

void skip(std::string_view key, const Error& error) {
  log_warn("entry of the catalogue left out", field("key", key), field("error", error));
}

}  // namespace

Policy CatalogueState::policy_of(const std::string& key) const {
  const auto found = policies.find(key);
  return found == policies.end() ? Policy{} : found->second;
}

std::string Catalogue::key_of(const model::Name& name) { return cluster::catalogue_key(name); }

io::Task<Result<std::shared_ptr<const CatalogueState>>> Catalogue::load(io::Call call) {
  auto state = std::make_shared<CatalogueState>();
  CO_TRY_VOID(co_await load_models(*state, call));
  CO_TRY_VOID(co_await load_removed(*state, call));
  CO_TRY_VOID(co_await load_policies(*state, call));
  co_return state;
}

io::Task<Result<void>> Catalogue::load_models(CatalogueState& state, io::Call call) {
  CO_TRY(const auto snapshot, co_await metadata_.list(std::string(kModels), std::move(call)));
  for (const auto& entry : snapshot.entries) {
    auto model = parse_model(entry.value);
    if (!model) {
      skip(entry.key, model.error());
      continue;
    }
    state.models.emplace(entry.key.substr(kModels.size()), std::move(*model));
  }
  co_return Result<void>{};
}

io::Task<Result<void>> Catalogue::load_removed(CatalogueState& state, io::Call call) {
  CO_TRY(const auto snapshot, co_await metadata_.list(std::string(kRemoved), call));
  const int64_t oldest = seconds_of(world_.clock.wall_now() - kTombstoneAge);
  Transaction old;
  for (const auto& entry : snapshot.entries) {
    const auto parsed = parse_tombstone(entry.value);
    if (!parsed) {
      skip(entry.key, parsed.error());
      continue;
    }
    state.removed.emplace(entry.key.substr(kRemoved.size()), parsed->digest);
    if (parsed->at < oldest && old.operations.empty()) {
      old.compares = {Compare::unchanged(entry)};
      old.operations = {Operation::remove(entry.key)};
    }
  }
  if (old.operations.empty()) co_return Result<void>{};
  // One a time is enough; that another node was faster is as good.
  CO_TRY_VOID(co_await metadata_.commit(std::move(old), std::move(call)));
  co_return Result<void>{};
}

io::Task<Result<void>> Catalogue::load_policies(CatalogueState& state, io::Call call) {
  CO_TRY(const auto policies, co_await metadata_.list(std::string(kPolicies), call));
  for (const auto& entry : policies.entries) {
    auto policy = Policy::parse(entry.value);
    if (!policy) {
      skip(entry.key, policy.error());
      continue;
    }
    state.policies.emplace(entry.key.substr(kPolicies.size()), std::move(*policy));
  }
  CO_TRY(const auto popular, co_await metadata_.list(std::string(kPopularity), std::move(call)));
  for (const auto& entry : popular.entries) {
    // /popularity/<name>#<node>; a node's name has no '#'.
    const size_t mark = entry.key.rfind('#');
    int extra = 0;
    std::from_chars(entry.value.data(), entry.value.data() + entry.value.size(), extra);
    if (mark == entry.key.npos || extra <= 0) continue;
    int& most = state.popularity[entry.key.substr(kPopularity.size(), mark - kPopularity.size())];
    most = std::max(most, extra);
  }
  co_return Result<void>{};
}

io::Task<Result<void>> Catalogue::commit(Transaction transaction, io::Call call) {
  CO_TRY(const auto done, co_await metadata_.commit(std::move(transaction), std::move(call)));
  if (!done.done) co_return fail(Errc::unavailable, "the catalogue changed meanwhile; try again");
  co_return Result<void>{};
}

io::Task<Result<std::string>> Catalogue::describe(model::Name name, std::string bytes) {
  if (!describe_) co_return model_json(name, bytes);
  co_return co_await describe_(std::move(name), std::move(bytes));
}

io::Task<Result<void>> Catalogue::put(model::Name name, std::string bytes, io::Call call) {
  CO_TRY_VOID(model::Manifest::parse(bytes));
  const std::string key = key_of(name);
  CO_TRY(std::string value, co_await describe(name, std::move(bytes)));
  if (value.size() > metadata::kValueBytesMax) {
    co_return fail(Errc::invalid_argument, "the manifest of {} is too large", name.shortest());
  }
  Transaction transaction;
  transaction.operations = {Operation::put(path(kModels, key), std::move(value)),
                            Operation::remove(path(kRemoved, key))};
  co_return co_await commit(std::move(transaction), std::move(call));
}

io::Task<Result<bool>> Catalogue::publish(model::Name name, std::string bytes, io::Call call) {
  CO_TRY_VOID(model::Manifest::parse(bytes));
  const std::string key = key_of(name);
  CO_TRY(const auto removed, co_await metadata_.get(path(kRemoved, key), call));
  if (removed) {
    const auto parsed = parse_tombstone(removed->value);
    if (parsed && parsed->digest == Digest::of(bytes)) co_return false;
  }
  CO_TRY(std::string value, co_await describe(name, std::move(bytes)));
  Transaction transaction;
  transaction.compares = {
      Compare::absent(path(kModels, key)),
      removed ? Compare::unchanged(*removed) : Compare::absent(path(kRemoved, key))};
  transaction.operations = {Operation::put(path(kModels, key), std::move(value)),
                            Operation::remove(path(kRemoved, key))};
  CO_TRY(const auto done, co_await metadata_.commit(std::move(transaction), std::move(call)));
  co_return done.done;
}

io::Task<Result<void>> Catalogue::remove(model::Name name, io::Call call) {
  const std::string key = key_of(name);
  CO_TRY(const auto entry, co_await metadata_.get(path(kModels, key), call));
  if (!entry) co_return fail(Errc::not_found, "model '{}' not found", name.shortest());
  const auto model = parse_model(entry->value);
  const Digest digest = model ? model->digest : Digest{};
  Transaction transaction;
  transaction.compares = {Compare::unchanged(*entry)};
  transaction.operations = {
      Operation::remove(path(kModels, key)),
      Operation::put(path(kRemoved, key), tombstone(digest, world_.clock.wall_now()))};
  co_return co_await commit(std::move(transaction), std::move(call));
}

io::Task<Result<void>> Catalogue::set_policy(model::Name name, Policy policy, io::Call call) {
  Transaction transaction;
  transaction.operations = {Operation::put(path(kPolicies, key_of(name)), policy.to_json())};
  co_return co_await commit(std::move(transaction), std::move(call));
}

io::Task<Result<void>> Catalogue::clear_policy(model::Name name, io::Call call) {
  Transaction transaction;
  transaction.operations = {Operation::remove(path(kPolicies, key_of(name)))};
  co_return co_await commit(std::move(transaction), std::move(call));
}

io::Task<Result<void>> Catalogue::set_popularity(model::Name name, std::string node, int extra,
                                                 io::Call call) {
  const std::string key = path(kPopularity, key_of(name)) + "#" + node;
  Transaction transaction;
  if (extra <= 0) {
    transaction.operations = {Operation::remove(key)};
  } else {
    CO_TRY(const auto lease, co_await metadata_.grant(kPopularityLease, call));
    transaction.operations = {Operation::put(key, std::to_string(extra), lease)};
  }
  co_return co_await commit(std::move(transaction), std::move(call));
}

io::Task<Result<bool>> Catalogue::lock_removal(std::string key, std::string node, io::Call call) {
  CO_TRY(const auto lease, co_await metadata_.grant(kRemovalLease, call));
  Transaction transaction;
  transaction.compares = {Compare::absent(path(kRemovals, key))};
  transaction.operations = {Operation::put(path(kRemovals, key), std::move(node), lease)};
  CO_TRY(const auto done, co_await metadata_.commit(std::move(transaction), std::move(call)));
  co_return done.done;
}

io::Task<void> Catalogue::unlock_removal(std::string key, std::string node, io::Call call) {
  Transaction transaction;
  transaction.compares = {Compare::equals(path(kRemovals, key), std::move(node))};
  transaction.operations = {Operation::remove(path(kRemovals, key))};
  const auto done = co_await metadata_.commit(std::move(transaction), std::move(call));
  if (!done) log_debug("removal lock runs out by itself", field("error", done.error()));
}

}  // namespace om::transfer
