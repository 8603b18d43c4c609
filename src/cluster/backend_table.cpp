#include "cluster/backend_table.h"

#include <algorithm>

#include "base/log.h"

namespace om::cluster {
namespace {

constexpr std::string_view kKeys = "backend-keys";

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
                           metadata::Metadata& metadata, io::Path copy, FetchKey fetch_key)
    : world_(world),
      backends_(backends),
      directory_(std::move(directory)),
      metadata_(metadata),
      fetch_key_(std::move(fetch_key)),
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
  if (!specs_.contains(name)) return fail(Errc::not_found, "no such backend");
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
  apply(std::move(*spec));
}

void BackendTable::apply(engine::BackendSpec spec) {
  if (spec.key_digest.empty()) return backends_.put(std::move(spec), {});
  auto key = key_of(spec.name);
  const bool right = key && Digest::of(*key).hex() == spec.key_digest;
  if (!right) tasks_.spawn(obtain_key(spec));
  backends_.put(std::move(spec), right ? std::move(*key) : std::string());
}

bool BackendTable::wants_key(const engine::BackendSpec& spec) const {
  const auto known = specs_.find(spec.name);
  return known != specs_.end() && known->second.key_digest == spec.key_digest;
}

io::Task<void> BackendTable::obtain_key(engine::BackendSpec spec) {
  const io::CancelToken token = tasks_.token();
  for (bool first = true; fetch_key_; first = false) {
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
  log_warn("the key of a backend is missing: add the backend again", field("backend", spec.name));
}

io::Task<Result<void>> BackendTable::add(engine::BackendSpec spec, std::string key, io::Call call) {
  if (!is_key(key)) co_return fail(Errc::invalid_argument, "the key cannot be sent in a header");
  if (!specs_.contains(spec.name) && specs_.size() >= kBackendsMax) {
    co_return fail(Errc::overloaded, "there are {} backends already", kBackendsMax);
  }
  spec.key_digest = key.empty() ? std::string() : Digest::of(key).hex();
  if (!key.empty()) CO_TRY_VOID(write_secret(key_path(spec.name), key));
  const std::string value = write_backend(spec);
  metadata::Transaction transaction;
  transaction.operations.push_back(
      metadata::Operation::put(std::string(kBackendsPrefix) + spec.name, value));
  CO_TRY(const auto commit, co_await metadata_.commit(std::move(transaction), call));
  specs_[spec.name] = spec;  // key_of() needs it.
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

io::Task<Result<void>> BackendTable::adopt(metadata::Snapshot own, io::Call call) {
  CO_TRY_VOID(co_await wait_synced(call));
  for (const metadata::Entry& entry : own.entries) {
    if (!entry.key.starts_with(kBackendsPrefix)) continue;
    auto spec = engine::read_backend(entry.value);
    if (!spec) {
      log_warn("a backend of this node cannot be read", field("backend", entry.key));
      continue;
    }
    if (specs_.contains(spec->name)) continue;
    const auto key = world_.files.read_file(key_path(spec->name), kKeyBytesMax);
    CO_TRY_VOID(co_await add(std::move(*spec), key ? *key : std::string(), call));
  }
  co_return Result<void>{};
}

io::Task<void> BackendTable::stop() {
  co_await tasks_.stop();
  co_await facts_.stop();
}

}  // namespace om::cluster
