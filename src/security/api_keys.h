// The keys that callers of the API have to show.
//
// They come from a file with one a line: the key itself, or "sha256:" and the 64 hexadecimal digits
// of its SHA-256. Empty lines, and those that begin with "#", are none.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "base/digest.h"
#include "io/world.h"

namespace om::security {

inline constexpr size_t kApiKeyBytesMin = 16;  // Of a key that stands there itself.

// io thread only; the world outlives it.
class ApiKeys {
 public:
  // Errors as reading a file; invalid_argument: it holds no key, or a line that is none.
  static Result<std::unique_ptr<ApiKeys>> open(io::World& world, io::Path path);

  // By digests: how long it takes tells nothing of a key. The file is read anew once it has
  // changed, looked at once a second at most; until what it says can be used those before hold.
  bool contain(std::string_view key);

 private:
  using Digests = std::set<Digest>;
  struct Stamp {
    uint64_t size = 0;
    io::WallTime modified{}, changed{};
    bool operator==(const Stamp&) const = default;
  };

  ApiKeys(io::World& world, io::Path path) : world_(world), path_(std::move(path)) {}
  Result<Stamp> look() const;
  static Result<Digests> parse(std::string_view text);
  Result<Digests> read() const;
  void follow();

  io::World& world_;
  io::Path path_;
  Digests digests_;
  Stamp stamp_;  // Of what was read last, or could not be.
  io::TimePoint looked_at_{};
};

}  // namespace om::security
