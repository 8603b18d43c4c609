#include "transfer/replicas/catalogue.h"

#include <boost/json.hpp>
#include <charconv>

#include "base/log.h"
#include "base/version.h"
#include "io/wall_time.h"

namespace om::transfer {
namespace {

using metadata::Compare;
using metadata::Operation;
using metadata::Transaction;

constexpr std::string_view kRemoved = cluster::kRemovedPrefix, kPolicies = "/policies/",
                           kPopularity = "/popularity/", kRemovals = "/removals/";
constexpr std::string_view kDefault = "*";  // No model is called so.
constexpr std::chrono::seconds kRemovalLease{60};

std::string path(std::string_view prefix, std::string_view key) {
  return std::string(prefix) + std::string(key);
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
  const auto* by = object->if_contains("by");
  if (by != nullptr && by->is_string()) model.by = by->get_string();
  TRY(model.manifest, model::Manifest::parse(model.bytes));
  return model;
}

// What no later try mends: a file that is whole and not what this version can read.
bool is_of_format(const Error& error) {
  return error.code == Errc::corrupt || error.code == Errc::unsupported ||
         error.code == Errc::invalid_argument || error.code == Errc::overloaded;
}

std::string policy_key(const std::optional<model::Name>& name) {
  return name ? Catalogue::key_of(*name) : std::string(kDefault);
}

std::string policy_path(const std::optional<model::Name>& name) {
  return path(kPolicies, policy_key(name));
}

}  // namespace

Policy CatalogueState::policy_of(const std::string& key) const {
  const auto found = policies.find(key);
  return found == policies.end() ? default_policy : found->second;
}

bool CatalogueState::knows_policy_of(const std::string& key) const {
  const std::string& deciding =
      unreadable_policies.contains(key) || policies.contains(key) ? key : std::string(kDefault);
  return !unreadable_policies.contains(deciding);
}

KeptPolicy CatalogueState::kept_policy_of(const std::optional<model::Name>& name) const {
  const std::string key = policy_key(name);
  const auto revision = policy_revisions.find(key);
  return {policy_of(key), revision == policy_revisions.end() ? 0 : revision->second};
}

std::string Catalogue::key_of(const model::Name& name) { return cluster::catalogue_key(name); }

io::Task<Result<std::shared_ptr<const CatalogueState>>> Catalogue::load(
    std::optional<io::Duration> tombstone_age, io::Call call) {
  auto state = std::make_shared<CatalogueState>();
  CO_TRY_VOID(co_await load_removed(*state, tombstone_age, call));
  CO_TRY_VOID(co_await load_policies(*state, call));
  CO_TRY_VOID(co_await load_popularity(*state, call));
  CO_TRY_VOID(co_await table_.facts().wait_synced(std::move(call)));
  read_models(*state);
  skipped_.end_look();
  co_return state;
}

Result<CatalogueModel> Catalogue::find(const model::Name& name) const {
  const cluster::Fact* fact = table_.facts().find(key_of(name));
  if (fact == nullptr) return fail(Errc::not_found, "model '{}' not found", name.shortest());
  return parse_model(fact->value);
}

void Catalogue::skip(const std::string& key, const Error& error) {
  if (!skipped_.is_new(key + ": " + error.what)) return;
  log_warn("entry of the catalogue left out", field("key", key), field("error", error));
}

void Catalogue::read_models(CatalogueState& state) {
  std::map<std::string, Read> read;
  for (const auto& [key, fact] : table_.facts().facts()) {
    const auto known = read_.find(key);
    if (known != read_.end() && fact.modified != 0 && known->second.modified == fact.modified) {
      read.insert(read_.extract(known));
      continue;
    }
    auto model = parse_model(fact.value);
    if (!model) {
      skip(key, model.error());
      continue;
    }
    read[key] = {fact.modified, std::move(*model)};
  }
  read_ = std::move(read);
  for (const auto& [key, entry] : read_) state.models.emplace(key, entry.model);
}

io::Task<Result<void>> Catalogue::load_removed(CatalogueState& state,
                                               std::optional<io::Duration> tombstone_age,
                                               io::Call call) {
  CO_TRY(const auto snapshot, co_await metadata_.list(std::string(kRemoved), call));
  std::optional<int64_t> oldest;
  if (tombstone_age) oldest = io::unix_seconds(world_.clock.wall_now() - *tombstone_age);
  Transaction old;
  for (const auto& entry : snapshot.entries) {
    const auto parsed = cluster::read_tombstone(entry.value);
    if (!parsed) {
      skip(entry.key, parsed.error());
      continue;
    }
    state.removed.emplace(entry.key.substr(kRemoved.size()), parsed->digest);
    if (oldest && parsed->at < *oldest && old.operations.empty()) {
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
  CO_TRY(const auto policies, co_await metadata_.list(std::string(kPolicies), std::move(call)));
  for (const auto& entry : policies.entries) {
    std::string key = entry.key.substr(kPolicies.size());
    state.policy_revisions[key] = entry.modified;
    auto policy = Policy::read(entry.value);
    if (!policy) {
      skip(entry.key, policy.error());
      state.unreadable_policies.insert(std::move(key));
      continue;
    }
    if (key == kDefault) {
      state.default_policy = std::move(*policy);
    } else {
      state.policies.emplace(std::move(key), std::move(*policy));
    }
  }
  co_return Result<void>{};
}

io::Task<Result<void>> Catalogue::load_popularity(CatalogueState& state, io::Call call) {
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
  auto described = co_await describe_(name, bytes);
  if (described || !is_of_format(described.error())) co_return described;
  // Its files are as they were pulled or made: they are kept, and who asks for it is told.
  log_warn("model kept without a card", field("model", name.shortest()),
           field("error", described.error()));
  co_return model_json(name, bytes);
}

io::Task<Result<void>> Catalogue::put(model::Name name, std::string bytes, io::Call call) {
  CO_TRY_VOID(model::Manifest::parse(bytes));
  CO_TRY(std::string value, co_await describe(name, std::move(bytes)));
  if (value.size() > metadata::kValueBytesMax) {
    co_return fail(Errc::invalid_argument, "the manifest of {} is too large", name.shortest());
  }
  co_return co_await table_.put_text(name, std::move(value), std::move(call));
}

io::Task<Result<void>> Catalogue::renew_card(CatalogueModel model, io::CancelToken cancel) {
  const cluster::Fact* fact = table_.facts().find(key_of(model.name));
  if (!describe_ || fact == nullptr) co_return Result<void>{};
  const metadata::Revision seen = fact->modified;
  CO_TRY(const CatalogueModel now, parse_model(fact->value));
  if (now.digest != model.digest || !is_older_version(now.by, kVersion)) co_return Result<void>{};
  auto value = co_await describe_(now.name, now.bytes);
  if (!value) {
    if (!is_of_format(value.error())) co_return fail(std::move(value).error());
    log_debug("a card stays as it is", field("model", now.name.shortest()),
              field("error", value.error()));
    co_return Result<void>{};
  }
  // Where it was changed meanwhile, another node was as fast.
  const io::Call call = world_.clock.call_within(metadata::kCallMax, std::move(cancel));
  CO_TRY_VOID(co_await table_.replace_text(now.name, std::move(*value), seen, call));
  co_return Result<void>{};
}

io::Task<Result<bool>> Catalogue::publish(model::Name name, std::string bytes, io::Call call) {
  CO_TRY_VOID(model::Manifest::parse(bytes));
  CO_TRY(const auto removal, co_await metadata_.get(path(kRemoved, key_of(name)), call));
  if (removal) {
    const auto parsed = cluster::read_tombstone(removal->value);
    if (parsed && parsed->digest == Digest::of(bytes)) co_return false;
  }
  CO_TRY(std::string value, co_await describe(name, std::move(bytes)));
  co_return co_await table_.publish_text(name, std::move(value), removal, std::move(call));
}

io::Task<Result<void>> Catalogue::remove(model::Name name, io::Call call) {
  CO_TRY(const bool removed, co_await table_.remove(name, std::move(call)));
  if (!removed) co_return fail(Errc::not_found, "model '{}' not found", name.shortest());
  co_return Result<void>{};
}

io::Task<Result<KeptPolicy>> Catalogue::read_policy(std::optional<model::Name> name,
                                                    io::Call call) {
  CatalogueState state;
  CO_TRY_VOID(co_await load_policies(state, std::move(call)));
  co_return state.kept_policy_of(name);
}

io::Task<Result<metadata::Revision>> Catalogue::set_policy(std::optional<model::Name> name,
                                                           KeptPolicy policy, io::Call call) {
  const std::string key = policy_path(name);
  Transaction transaction;
  if (policy.revision) transaction.compares = {Compare{key, policy.revision, {}}};
  transaction.operations = {Operation::put(key, policy.policy.to_json())};
  CO_TRY(const auto done, co_await metadata_.commit(std::move(transaction), std::move(call)));
  if (!done.done) {
    co_return fail(Errc::already_exists, "the policy was changed meanwhile; read it again");
  }
  co_return done.revision;
}

io::Task<Result<void>> Catalogue::clear_policy(std::optional<model::Name> name, io::Call call) {
  Transaction transaction;
  transaction.operations = {Operation::remove(policy_path(name))};
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
