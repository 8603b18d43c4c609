#include "cluster/backend_table.h"

#include <algorithm>
#include <boost/json.hpp>

#include "base/log.h"

namespace om::cluster {
namespace {

namespace json = boost::json;

constexpr uint64_t kFileBytesMax = 4 << 20;
constexpr std::string_view kFile = "backends.json", kKeys = "backend-keys";

// A key goes into a header.
bool is_key(std::string_view key) {
  return key.size() <= BackendTable::kKeyBytesMax &&
         std::ranges::all_of(key, [](char c) { return c > ' ' && c < 127; });
}

}  // namespace

BackendTable::BackendTable(io::World& world, engine::Backends& backends, io::Path directory,
                           metadata::Metadata* metadata, FetchKey fetch_key)
    : world_(world),
      backends_(backends),
      directory_(std::move(directory)),
      metadata_(metadata),
      fetch_key_(std::move(fetch_key)),
      tasks_(world.executor, world.clock) {
  if (!metadata_) return;
  facts_ = std::make_unique<FactTable>(world_, *metadata_, std::string(kBackendsPrefix),
                                       io::join(directory_, "cluster-backends.json"));
  facts_->on_change(
      [this](const std::string& name, const std::string* value) { take(name, value); });
}

BackendTable::~BackendTable() = default;

Result<void> BackendTable::start() {
  if (facts_) {
    facts_->start();
    tasks_.spawn(adopt_file());
    return {};
  }
  TRY_VOID(load_file());
  for (const auto& [name, spec] : specs_) apply(spec);
  return {};
}

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

Result<void> BackendTable::load_file() {
  const auto text = world_.files.read_file(io::join(directory_, kFile), kFileBytesMax);
  if (!text && text.error().code == Errc::not_found) return {};
  if (!text) return fail(text.error());
  boost::system::error_code failed;
  const json::value list = json::parse(*text, failed);
  if (failed || !list.is_array()) {
    return fail(Errc::corrupt, "{} cannot be read", io::join(directory_, kFile));
  }
  for (const json::value& entry : list.get_array()) {
    TRY(engine::BackendSpec spec, engine::read_backend(json::serialize(entry)));
    specs_[spec.name] = std::move(spec);
  }
  return {};
}

Result<void> BackendTable::save_file() {
  json::array list;
  for (const auto& [name, spec] : specs_) list.push_back(json::parse(write_backend(spec)));
  TRY_VOID(world_.files.make_directories(directory_));
  return world_.files.write_file(io::join(directory_, kFile), json::serialize(list));
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

io::Task<void> BackendTable::obtain_key(engine::BackendSpec spec) {
  const io::CancelToken token = tasks_.token();
  while (fetch_key_) {
    const auto known = specs_.find(spec.name);
    if (known == specs_.end() || known->second.key_digest != spec.key_digest) co_return;
    auto key = co_await fetch_key_(spec.name, world_.clock.call_within(kKeyRetry, token));
    if (key && Digest::of(*key).hex() == spec.key_digest) {
      const auto kept = write_secret(key_path(spec.name), *key);
      if (!kept) log_warn("cannot keep a backend's key", field("error", kept.error()));
      backends_.set_key(spec.name, std::move(*key));
      co_return;
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
  if (facts_) {
    const std::string value = write_backend(spec);
    metadata::Transaction transaction;
    transaction.operations.push_back(
        metadata::Operation::put(std::string(kBackendsPrefix) + spec.name, value));
    CO_TRY(const auto commit, co_await metadata_->commit(std::move(transaction), call));
    specs_[spec.name] = spec;  // key_of() needs it.
    facts_->apply(spec.name, &value, commit.revision);
    co_return Result<void>{};
  }
  specs_[spec.name] = spec;
  CO_TRY_VOID(save_file());
  apply(std::move(spec));
  co_return Result<void>{};
}

io::Task<Result<void>> BackendTable::remove(std::string name, io::Call call) {
  if (!specs_.contains(name)) co_return fail(Errc::not_found, "no backend is called '{}'", name);
  if (facts_) {
    metadata::Transaction transaction;
    transaction.operations.push_back(
        metadata::Operation::remove(std::string(kBackendsPrefix) + name));
    CO_TRY(const auto commit, co_await metadata_->commit(std::move(transaction), call));
    facts_->apply(name, nullptr, commit.revision);
    co_return Result<void>{};
  }
  take(name, nullptr);
  co_return save_file();
}

io::Task<void> BackendTable::adopt_file() {
  const io::CancelToken token = tasks_.token();
  if (!world_.files.exists(io::join(directory_, kFile))) co_return;
  const auto synced = co_await facts_->wait_synced({io::kNever, token});
  if (!synced) co_return;
  std::map<std::string, engine::BackendSpec> known = std::exchange(specs_, {});
  const auto loaded = load_file();
  std::map<std::string, engine::BackendSpec> own = std::exchange(specs_, std::move(known));
  if (!loaded) {
    log_warn("backends of the time before the cluster are lost", field("error", loaded.error()));
    co_return;
  }
  for (auto& [name, spec] : own) {
    if (specs_.contains(name)) continue;
    const auto key = world_.files.read_file(key_path(name), kKeyBytesMax);
    const io::Call call = world_.clock.call_within(metadata::kCallMax, token);
    const auto added = co_await add(std::move(spec), key ? *key : std::string(), call);
    if (!added) co_return;  // Without a majority: at the next start.
  }
  const auto removed = world_.files.remove(io::join(directory_, kFile));
  if (!removed) log_warn("cannot remove", field("error", removed.error()));
}

io::Task<void> BackendTable::stop() {
  co_await tasks_.stop();
  if (facts_) co_await facts_->stop();
}

}  // namespace om::cluster
