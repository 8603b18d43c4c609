// The uploads that a push has begun at a registry and not ended, so that a later one goes on there.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "io/world.h"

namespace om::transfer {

inline constexpr size_t kUploadsRememberedMax = 64;
inline constexpr std::chrono::hours kUploadAgeMax{7 * 24};  // Registries forget them then, too.

// Remembers under which URL a registry takes the rest of a blob. Kept in one small file that is
// replaced at once, so that a crash leaves an older list or this one; a list that cannot be read or
// written costs only that a push begins anew. One per node, on the io thread.
class UploadTable {
 public:
  // `file` is empty: remembers as long as the process lives.
  UploadTable(io::World& world, io::Path file) : world_(world), file_(std::move(file)) {}

  // The upload of one blob to one repository, as long as it is under way. Whoever comes second gets
  // a claim that knows and keeps nothing: two must not send into one session.
  class Claim {
   public:
    Claim(UploadTable* table, std::string blob) : table_(table), blob_(std::move(blob)) {}
    ~Claim();
    Claim(const Claim&) = delete;
    Claim& operator=(const Claim&) = delete;

    std::string url() const;  // Where a push before this one stopped; empty: nowhere.
    io::Task<void> remember(std::string url);
    io::Task<void> forget();

   private:
    UploadTable* table_;  // Null: second.
    std::string blob_;
  };
  // `blob`: the blob's URL, which names the registry and the repository as well.
  io::Task<std::unique_ptr<Claim>> claim(std::string blob);

 private:
  struct Upload {
    std::string url;
    io::WallTime seen{};
  };
  io::Task<void> load();
  io::Task<void> save();
  void drop_old();

  io::World& world_;
  io::Path file_;
  std::map<std::string, Upload> uploads_;
  std::set<std::string> claimed_;
  bool loaded_ = false, changed_ = false, writing_ = false;
};

}  // namespace om::transfer
