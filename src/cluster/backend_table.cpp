#include "cluster/backend_table.h"

#include <algorithm>

#include "base/log.h"

namespace om::cluster {
namespace {

constexpr std::string_view kKeys = "backend-keys", kOwnKeys = "backend-keys-own";
constexpr int kNamesMax = 20;  // That are tried.

// A key goes into a header.
bool is_key(std::string_view key) {
  return key.size() <= BackendTable::kKeyBytesMax &&
         std::ranges::all_of(key, [](char c) { return c > ' ' && c < 127; });
}

}  // namespace

Result<void> remove_other_keys(io::Filesystem& files, const io::Path& directory,
                               const std::set<std::string, std::less<>>& kept) {
  const io::Path folder = io::join(directory, kKeys);
  if (!files.exists(folder)) return {};
  TRY(const std::vector<std::string> names, files.list(folder));
  for (const std::string& name : names) {
    if (!kept.contains(name)) TRY_VOID(files.remove(io::join(folder, name)));
  }
  return {};
}

BackendTable::BackendTable(io::World& world, engine::Backends& backends, io::Path directory,
                           metadata::Metadata& metadata, io::Path copy, FetchKey fetch_key,
                           std::string self)
    : world_(world),
      backends_(backends),
      directory_(std::move(directory)),
      metadata_(metadata),
      fetch_key_(std::move(fetch_key)),
      self_(std::move(self)),
      facts_(world, metadata, std::string(kBackendsPrefix), std::move(copy)),
      tasks_(world.executor, world.clock) {
  facts_.on_change(
      [this](const std::string& name, const std::string* value) { take(name, value); });
}

BackendTable::~BackendTable() = default;

io::Path BackendTable::key_path(const std::string& name) const {
  return io::join(io::join(directory_, kKeys), name);
}

Result<std::string> BackendTable::key_of(const std::string& name) {
  const auto known = specs_.find(name);
  if (known == specs_.end()) return fail(Errc::not_found, "no such backend");
  if (engine::is_on_own_machine(known->second)) {
    return fail(Errc::not_found, "another node would show it to another server");
  }
  return read_key(name);
}

Result<std::string> BackendTable::read_key(const std::string& name) const {
  return world_.files.read_file(key_path(name), kKeyBytesMax);
}

// The folder keeps others out while the file gets its mode.
Result<void> BackendTable::write_secret(const io::Path& path, std::string_view text) {
  TRY_VOID(world_.files.make_directories(io::parent(path)));
  TRY_VOID(world_.files.set_mode(io::parent(path), 0700));
  TRY_VOID(world_.files.write_file(path, text));
  return world_.files.set_mode(path, 0600);
}

void BackendTable::take(const std::string& name, const std::string* value) {
  if (!value) {
    specs_.erase(name);
    backends_.remove(name);
    const auto removed = world_.files.remove(key_path(name));
    (void)removed;  // It may have had none.
    return;
  }
  auto spec = engine::read_backend(*value);
  if (!spec) {
    log_warn("a backend of the cluster cannot be read", field("backend", name));
    return;
  }
  specs_[name] = *spec;
  if (is_for_others(*spec)) return backends_.remove(name);
  apply(std::move(*spec));
}

bool BackendTable::is_for_others(const engine::BackendSpec& spec) const {
  return !spec.node.empty() && spec.node != self_;
}

void BackendTable::apply(engine::BackendSpec spec) {
  if (spec.key_digest.empty()) return backends_.put(std::move(spec), {});
  auto key = read_key(spec.name);
  const bool right = key && Digest::of(*key).hex() == spec.key_digest;
  if (!right) tasks_.spawn(obtain_key(spec));
  backends_.put(std::move(spec), right ? std::move(*key) : std::string());
}

bool BackendTable::wants_key(const engine::BackendSpec& spec) const {
  const auto known = specs_.find(spec.name);
  return known != specs_.end() && known->second.key_digest == spec.key_digest;
}

io::Task<void> BackendTable::obtain_key(engine::BackendSpec spec) {
  // What another node has is for its own machine's server then.
  if (!fetch_key_ || engine::is_on_own_machine(spec)) {
    log_warn("the key of a backend is missing: add the backend again", field("backend", spec.name));
    co_return;
  }
  const io::CancelToken token = tasks_.token();
  for (bool first = true;; first = false) {
    if (!wants_key(spec)) co_return;
    auto key = co_await fetch_key_(spec.name, world_.clock.call_within(kKeyRetry, token));
    if (!wants_key(spec)) co_return;  // Another key was added meanwhile.
    if (key && Digest::of(*key).hex() == spec.key_digest) {
      const auto kept = write_secret(key_path(spec.name), *key);
      if (!kept) log_warn("cannot keep a backend's key", field("error", kept.error()));
      backends_.set_key(spec.name, std::move(*key));
      co_return;
    }
    if (first && !token.cancelled()) {
      log_warn("no node that answers has the key of a backend: if none will, add the backend again",
               field("backend", spec.name));
    }
    const auto slept = co_await world_.clock.sleep_for(kKeyRetry, {io::kNever, token});
    if (!slept) co_return;
  }
}

// Else every node would ask its own machine, and show the key and the prompts to whoever listens
// there.
Result<void> BackendTable::check_reach(engine::BackendSpec& spec) const {
  if (!fetch_key_ || !engine::is_on_own_machine(spec)) return {};
  const auto known = specs_.find(spec.name);
  if (known != specs_.end() && known->second.node == self_) spec.node = self_;
  if (spec.node == self_) return {};
  return fail(Errc::invalid_argument,
              "{} means another machine on each node of the cluster: give an address under which "
              "all nodes reach the server",
              spec.url);
}

io::Task<Result<void>> BackendTable::add(engine::BackendSpec spec, std::string key, io::Call call) {
  if (!is_key(key)) co_return fail(Errc::invalid_argument, "the key cannot be sent in a header");
  if (!specs_.contains(spec.name) && specs_.size() >= kBackendsMax) {
    co_return fail(Errc::overloaded, "there are {} backends already", kBackendsMax);
  }
  CO_TRY_VOID(check_reach(spec));
  spec.key_digest = key.empty() ? std::string() : Digest::of(key).hex();
  if (!key.empty()) CO_TRY_VOID(write_secret(key_path(spec.name), key));
  const std::string value = write_backend(spec);
  metadata::Transaction transaction;
  transaction.operations.push_back(
      metadata::Operation::put(std::string(kBackendsPrefix) + spec.name, value));
  CO_TRY(const auto commit, co_await metadata_.commit(std::move(transaction), call));
  specs_[spec.name] = spec;  // wants_key() needs it.
  facts_.apply(spec.name, &value, commit.revision);
  // If all else is as before, that was no news, and only the key was missing here.
  if (!key.empty() && wants_key(spec)) backends_.set_key(spec.name, std::move(key));
  co_return Result<void>{};
}

io::Task<Result<void>> BackendTable::remove(std::string name, io::Call call) {
  if (!specs_.contains(name)) co_return fail(Errc::not_found, "no backend is called '{}'", name);
  metadata::Transaction transaction;
  transaction.operations.push_back(
      metadata::Operation::remove(std::string(kBackendsPrefix) + name));
  CO_TRY(const auto commit, co_await metadata_.commit(std::move(transaction), call));
  facts_.apply(name, nullptr, commit.revision);
  co_return Result<void>{};
}

Result<void> BackendTable::set_keys_aside() {
  const io::Path folder = io::join(directory_, kKeys), aside = io::join(directory_, kOwnKeys);
  if (!world_.files.exists(folder)) return {};
  TRY(const std::vector<std::string> names, world_.files.list(folder));
  for (const std::string& name : names) {
    if (world_.files.exists(io::join(aside, name))) continue;  // From an earlier start.
    TRY(const std::string key, world_.files.read_file(io::join(folder, name), kKeyBytesMax));
    TRY_VOID(write_secret(io::join(aside, name), key));
  }
  return {};
}

// Empty: it has none, or it is lost.
std::string BackendTable::own_key(const engine::BackendSpec& spec) const {
  for (const std::string_view folder : {kOwnKeys, kKeys}) {
    const io::Path path = io::join(io::join(directory_, folder), spec.name);
    auto key = world_.files.read_file(path, kKeyBytesMax);
    if (key && Digest::of(*key).hex() == spec.key_digest) return std::move(*key);
  }
  return {};
}

// "NAME", else "NAME-NODE"; with a number behind it where that means something else already.
// nullopt: the cluster has it, or no name is left.
std::optional<std::string> BackendTable::free_name(const engine::BackendSpec& own) const {
  engine::BackendSpec wanted = own;
  for (int i = 1; i <= kNamesMax; i++) {
    const auto known = specs_.find(wanted.name);
    if (known == specs_.end()) return wanted.name;
    if (known->second == wanted) return std::nullopt;
    const std::string behind = i == 1 ? "-" + self_ : fmt::format("-{}-{}", self_, i);
    wanted.name = own.name.substr(0, engine::kBackendNameMax - behind.size()) + behind;
  }
  log_warn("a backend of this node is given up: no name is left", field("backend", own.name));
  return std::nullopt;
}

io::Task<Result<void>> BackendTable::adopt(metadata::Snapshot own, io::Call call) {
  CO_TRY_VOID(co_await wait_synced(call));
  for (const metadata::Entry& entry : own.entries) {
    if (!entry.key.starts_with(kBackendsPrefix)) continue;
    auto spec = engine::read_backend(entry.value);
    if (!spec) {
      log_warn("a backend of this node cannot be read", field("backend", entry.key));
      continue;
    }
    std::string key = own_key(*spec);
    if (key.empty()) spec->key_digest.clear();
    spec->node = engine::is_on_own_machine(*spec) ? self_ : std::string();
    auto name = free_name(*spec);
    if (!name) continue;
    if (*name != spec->name || !spec->node.empty()) {
      log_warn("a backend of this node is not all the cluster's as it was",
               field("backend", spec->name), field("name", *name),
               field("asked_by", spec->node.empty() ? "all nodes" : "this node alone"));
    }
    spec->name = std::move(*name);
    CO_TRY_VOID(co_await add(std::move(*spec), std::move(key), call));
  }
  co_return Result<void>{};
}

Result<void> BackendTable::forget_keys_aside() {
  const io::Path aside = io::join(directory_, kOwnKeys);
  if (!world_.files.exists(aside)) return {};
  return world_.files.remove_all(aside);
}

io::Task<void> BackendTable::stop() {
  co_await tasks_.stop();
  co_await facts_.stop();
}

}  // namespace om::cluster
