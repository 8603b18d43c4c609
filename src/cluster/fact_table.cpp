#include "cluster/fact_table.h"

#include <limits>

#include "base/log.h"
#include "cluster/fact_file.h"

namespace om::cluster {
namespace {

constexpr std::chrono::milliseconds kRetryPause{500};
// Remembered only against a late event of the watch, which comes within moments.
constexpr size_t kRemovedMax = 10'000;

}  // namespace

FactTable::FactTable(io::World& world, metadata::Metadata& metadata, std::string prefix,
                     io::Path file)
    : world_(world),
      metadata_(metadata),
      prefix_(std::move(prefix)),
      file_(std::move(file)),
      synced_event_(world.clock),
      tasks_(world.executor, world.clock) {}

FactTable::~FactTable() = default;

void FactTable::start() {
  load_file();
  tasks_.spawn(follow());
}

const Fact* FactTable::find(const std::string& key) const {
  const auto found = facts_.find(key);
  return found == facts_.end() ? nullptr : &found->second;
}

void FactTable::load_file() {
  if (file_.empty()) return;
  const auto facts = read_fact_file(world_.files, file_);
  if (!facts) {
    if (facts.error().code == Errc::corrupt) {
      log_warn("a copy of the cluster's facts cannot be read", field("error", facts.error()));
    }
    return;
  }
  for (const auto& [key, value] : *facts) {
    apply(key, nullptr, 0);
    apply(key, &value, 0);
  }
}

// A slow disk holds up neither the io thread nor what comes next.
void FactTable::save_file() {
  changed_ = true;
  if (writing_ || file_.empty()) return;
  writing_ = true;
  tasks_.spawn(write_file());
}

// Changes made while the file is being written are written by the same coroutine, afterwards.
io::Task<void> FactTable::write_file() {
  while (changed_) {
    changed_ = false;
    FactFile facts;
    for (const auto& [key, fact] : facts_) facts.emplace(key, fact.value);
    auto job = [this, text = fact_file_text(facts)] {
      return world_.files.write_file(file_, text);
    };
    const auto saved = co_await world_.workers.run(std::move(job));
    if (!saved) {
      log_warn("a copy of the cluster's facts cannot be written", field("file", file_),
               field("error", saved.error()));
    }
  }
  writing_ = false;
}

void FactTable::apply(const std::string& key, const std::string* value,
                      metadata::Revision revision) {
  const auto known = facts_.find(key);
  if (known != facts_.end() && known->second.modified > revision) return;
  if (const auto gone = removed_.find(key); gone != removed_.end() && gone->second > revision) {
    return;
  }
  if (!value) {
    if (removed_.size() >= kRemovedMax) removed_.clear();
    if (revision > 0) removed_[key] = revision;
    if (known == facts_.end()) return;
    facts_.erase(known);
  } else if (known != facts_.end() && known->second.value == *value) {
    known->second.modified = revision;
    return;
  } else {
    facts_[key] = Fact{*value, revision};
  }
  for (const Callback& callback : callbacks_) callback(key, value);
}

io::Task<void> FactTable::follow() {
  const io::CancelToken token = tasks_.token();
  while (!token.cancelled()) {
    auto result = co_await sync();
    following_ = result.has_value();
    if (result) result = co_await watch();
    if (token.cancelled()) break;
    if (!result && result.error().code != Errc::corrupt) {
      const auto slept = co_await world_.clock.sleep_for(kRetryPause, {io::kNever, token});
      if (!slept) break;
    }
  }
}

// A snapshot knows best of all that happened up to its revision, also where the revisions of
// restored facts have passed those that are gone. What is newer has come meanwhile, by a commit of
// ours, and stays.
void FactTable::believe(metadata::Revision snapshot) {
  for (auto& [key, fact] : facts_) {
    if (fact.modified <= snapshot) fact.modified = 0;
  }
  std::erase_if(removed_, [snapshot](const auto& gone) { return gone.second <= snapshot; });
}

io::Task<Result<void>> FactTable::sync() {
  const io::Call call = world_.clock.call_within(metadata::kCallMax, tasks_.token());
  CO_TRY(const metadata::Snapshot snapshot, co_await metadata_.list(prefix_, call));
  // Reads see all that was told before, so history itself went back: a backup of the user's own
  // etcd was restored. What is there now counts, however high the revisions were that are gone.
  const bool is_restored = snapshot.revision < revision_;
  if (is_restored) {
    log_warn("the facts are of an earlier time: their etcd was restored", field("prefix", prefix_));
  }
  believe(is_restored ? std::numeric_limits<metadata::Revision>::max() : snapshot.revision);
  std::map<std::string, const metadata::Entry*> there;
  for (const metadata::Entry& entry : snapshot.entries) {
    there[entry.key.substr(prefix_.size())] = &entry;
  }
  std::vector<std::string> gone;
  for (const auto& [key, fact] : facts_) {
    if (!there.contains(key)) gone.push_back(key);
  }
  for (const std::string& key : gone) apply(key, nullptr, snapshot.revision);
  for (const auto& [key, entry] : there) apply(key, &entry->value, entry->modified);
  removed_.clear();
  revision_ = snapshot.revision;
  save_file();
  synced_ = true;
  synced_event_.notify_all();
  co_return Result<void>{};
}

io::Task<Result<void>> FactTable::watch() {
  const auto watch = metadata_.watch(prefix_, revision_ + 1);
  while (true) {
    CO_TRY(const auto events, co_await watch->next({io::kNever, tasks_.token()}));
    for (const metadata::Event& event : events) {
      const std::string key = event.entry.key.substr(prefix_.size());
      apply(key, event.removed ? nullptr : &event.entry.value, event.entry.modified);
      revision_ = std::max(revision_, event.entry.modified);
    }
    save_file();
  }
}

io::Task<Result<void>> FactTable::wait_synced(io::Call call) {
  while (!synced_) CO_TRY_VOID(co_await synced_event_.wait(call));
  co_return Result<void>{};
}

io::Task<void> FactTable::stop() { co_await tasks_.stop(); }

}  // namespace om::cluster
