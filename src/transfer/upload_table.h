// Unfinished uploads of pushes to registries, so that a later push continues them.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "io/world.h"

namespace om::transfer {

inline constexpr size_t kUploadsRememberedMax = 64;
inline constexpr std::chrono::hours kUploadAgeMax{7 * 24};  // Registries forget them then, too.

// Remembers the URL at which a registry takes the rest of a blob. Kept in one small file that is
// replaced atomically. If it cannot be read or written, a push only begins anew. One per node, on
// the io thread.
class UploadTable {
 public:
  // Empty `file`: remembers as long as the process lives.
  UploadTable(io::World& world, io::Path file) : world_(world), file_(std::move(file)) {}

  // The upload of one blob to one repository while it runs. A second push gets a claim that knows
  // and keeps nothing: two must not send into one session.
  class Claim {
   public:
    Claim(UploadTable* table, std::string blob) : table_(table), blob_(std::move(blob)) {}
    ~Claim();
    Claim(const Claim&) = delete;
    Claim& operator=(const Claim&) = delete;

    std::string url() const;  // Where an earlier push stopped; empty: there was none.
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
