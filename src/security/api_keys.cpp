#include "security/api_keys.h"

#include <algorithm>

#include "base/log.h"
#include "base/strings.h"

namespace om::security {
namespace {

constexpr uint64_t kFileBytesMax = 1 << 20;
constexpr std::chrono::seconds kLookInterval{1};
constexpr std::string_view kHashed = "sha256:";

}  // namespace

Result<std::unique_ptr<ApiKeys>> ApiKeys::open(io::World& world, io::Path path) {
  std::unique_ptr<ApiKeys> keys(new ApiKeys(world, std::move(path)));
  // Before it is read: what changes meanwhile is seen at the next look.
  TRY(keys->stamp_, keys->look());
  TRY(keys->digests_, keys->read());
  keys->looked_at_ = world.clock.now();
  return keys;
}

bool ApiKeys::contain(std::string_view key) {
  if (world_.clock.now() - looked_at_ >= kLookInterval) follow();
  return !key.empty() && digests_.contains(Digest::of(key));
}

Result<ApiKeys::Stamp> ApiKeys::look() const {
  TRY(const io::FileInfo info, world_.files.info(path_));
  return Stamp{info.size, info.modified, info.changed};
}

// A message never shows a line: it may be a key.
Result<ApiKeys::Digests> ApiKeys::parse(std::string_view text) {
  Digests digests;
  size_t number = 0;
  for (const std::string_view part : split(text, '\n')) {
    number++;
    const std::string_view line = trim(part);
    if (line.empty() || line.starts_with('#')) continue;
    if (line.starts_with(kHashed)) {
      const auto digest = Digest::parse(line);
      if (!digest) {
        return fail(Errc::invalid_argument,
                    "line {}: expected 64 hexadecimal digits behind \"sha256:\"", number);
      }
      digests.insert(*digest);
    } else if (line.size() < kApiKeyBytesMin || split_words(line).size() > 1) {
      return fail(Errc::invalid_argument, "line {}: a key has at least {} bytes, and no blanks",
                  number, kApiKeyBytesMin);
    } else {
      digests.insert(Digest::of(line));
    }
  }
  if (digests.empty()) return fail(Errc::invalid_argument, "there is no key in it");
  return digests;
}

Result<ApiKeys::Digests> ApiKeys::read() const {
  TRY(const std::string text, world_.files.read_file(path_, kFileBytesMax));
  auto digests = parse(text);
  if (!digests) return fail(annotate(digests.error(), path_));
  return digests;
}

void ApiKeys::follow() {
  looked_at_ = world_.clock.now();
  const Stamp stamp = look().value_or(Stamp{});
  if (stamp == stamp_) return;
  stamp_ = stamp;
  auto digests = read();
  if (digests) {
    digests_ = std::move(*digests);
    log_info("changed API keys taken up", field("file", path_), field("keys", digests_.size()));
  } else {
    log_warn("changed API keys not taken up: those before hold", field("error", digests.error()));
  }
}

}  // namespace om::security
