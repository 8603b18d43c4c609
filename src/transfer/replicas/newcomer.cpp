// What a machine that joins brought along, where the cluster means something else by its name.
#include "base/log.h"
#include "transfer/replicas/replicas.h"

namespace om::transfer {
namespace {

constexpr int kNamesMax = 20;   // That are tried.
constexpr size_t kTagMax = 80;  // Of model::Name.

}  // namespace

// Who was a member and was away has an older meaning of the name. Who just joined has a model of
// its own: it stays, under a name of its own.
io::Task<Result<void>> Replicas::keep_own_models() {
  store::Store& store = parts_.context.store;
  CO_TRY(const auto stored, co_await store.list());
  for (const store::StoredManifest& own : stored) {
    const std::string key = Catalogue::key_of(own.name);
    const auto known = state_->models.find(key);
    const auto removed = state_->removed.find(key);
    const bool means_another = known != state_->models.end() && known->second.digest != own.digest;
    const bool was_removed = known == state_->models.end() && removed != state_->removed.end() &&
                             removed->second == own.digest;
    if (!means_another && !was_removed) continue;
    CO_TRY(const model::Name kept, free_name(own));
    CO_TRY_VOID(co_await store.copy(own.name, kept));
    CO_TRY_VOID(co_await store.remove_if(own.name, own.digest));
    renamed_[own.name.str()] = kept.str();
    log_warn("a model of this node has another name from now on: the cluster means another by it",
             field("model", own.name.shortest()), field("name", kept.shortest()));
  }
  co_return Result<void>{};
}

// "NAME:TAG-NODE"; with a number behind it where that means something else already.
Result<model::Name> Replicas::free_name(const store::StoredManifest& own) const {
  for (int i = 1; i <= kNamesMax; i++) {
    const std::string number = i == 1 ? "" : fmt::format("-{}", i);
    const std::string behind = fmt::format("-{}{}", parts_.links.node, number);
    model::Name name = own.name;
    name.tag = name.tag.substr(0, kTagMax - behind.size()) + behind;
    if (name.tag.ends_with("-cloud")) continue;  // That means something else.
    const std::string key = Catalogue::key_of(name);
    const auto known = state_->models.find(key);
    if (known != state_->models.end() && known->second.digest != own.digest) continue;
    if (state_->removed.contains(key)) continue;
    const auto here = parts_.context.store.find(name);
    if (here && here->digest != own.digest) continue;
    return name;
  }
  return fail(Errc::already_exists, "no name is left for {}", own.name.shortest());
}

}  // namespace om::transfer
