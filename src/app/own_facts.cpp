#include "app/own_facts.h"

#include "base/log.h"
#include "metadata/sqlite/sqlite_metadata.h"

namespace om::app {

io::Path own_facts_file(const std::string& state_directory) {
  return io::join(state_directory, "facts.db");
}

io::Task<Result<std::unique_ptr<metadata::Metadata>>> open_own_facts(io::World& world,
                                                                     VoterMaker& voters,
                                                                     std::string state_directory) {
  CO_TRY_VOID(world.files.make_directories(state_directory));
  auto own = co_await voters.open_own(world, own_facts_file(state_directory));
  if (own || own.error().code != Errc::unavailable) co_return own;
  log_warn(
      "another node has this state directory (OLLAMAMAX_STATE): backends and pins of this one are "
      "gone when it ends",
      field("error", own.error()));
  co_return co_await metadata::open_sqlite(world, ":memory:");
}

io::Task<Result<metadata::Snapshot>> read_own_facts(io::World& world, VoterMaker& voters,
                                                    std::string state_directory, io::Call call) {
  CO_TRY(const auto own, co_await voters.open_own(world, own_facts_file(state_directory)));
  auto all = co_await own->list("/", std::move(call));
  co_await own->stop();
  co_return all;
}

io::Task<void> forget_facts(metadata::Metadata& metadata, io::Call call) {
  metadata::Transaction transaction;
  transaction.operations.push_back(metadata::Operation::remove_prefix("/"));
  const auto done = co_await metadata.commit(std::move(transaction), std::move(call));
  if (!done) log_warn("facts left behind in etcd", field("error", done.error()));
}

Result<void> remove_own_facts(io::Filesystem& files, const std::string& state_directory) {
  for (const char* suffix : {"", "-wal", "-shm"}) {
    const io::Path file = own_facts_file(state_directory) + suffix;
    if (files.exists(file)) TRY_VOID(files.remove(file));
  }
  return {};
}

}  // namespace om::app
