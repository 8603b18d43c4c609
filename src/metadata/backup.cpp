#include "metadata/backup.h"

#include <boost/json.hpp>

#include "base/base64.h"
#include "base/digest.h"
#include "base/strings.h"
#include "base/utf8.h"
#include "metadata/bounds.h"

namespace om::metadata {
namespace {

namespace json = boost::json;

constexpr std::string_view kFormat = "ollamamax-metadata";
constexpr int64_t kVersion = 1;
constexpr std::string_view kUnfinished = "import/unfinished";
constexpr size_t kImportOperationsMax = 64;

void add_text(json::object& line, std::string_view name, std::string_view bytes) {
  if (utf8_valid(bytes)) {
    line[name] = bytes;
  } else {
    line[std::string(name) + "64"] = base64_encode(bytes);
  }
}

Result<std::string> text_of(const json::object& line, std::string_view name) {
  if (const auto* text = line.if_contains(name); text && text->is_string()) {
    return std::string(text->get_string());
  }
  const auto* coded = line.if_contains(std::string(name) + "64");
  if (coded && coded->is_string()) {
    auto bytes = base64_decode(coded->get_string());
    if (bytes) return bytes;
  }
  return fail(Errc::corrupt, "an entry of the backup has no {}", name);
}

Result<json::object> object_of(std::string_view line) {
  boost::system::error_code error;
  auto value = json::parse(line, error);
  if (error || !value.is_object()) return fail(Errc::corrupt, "not a line of a backup");
  return std::move(value.get_object());
}

int64_t number_of(const json::object& line, std::string_view name) {
  const auto* number = line.if_contains(name);
  return number && number->is_int64() ? number->get_int64() : -1;
}

Result<void> check_sum(std::string_view before, std::string_view last) {
  TRY(const auto sum, object_of(last));
  const auto* hex = sum.if_contains("sha256");
  if (!hex || !hex->is_string() ||
      std::string_view(hex->get_string()) != Digest::of(before).hex()) {
    return fail(Errc::corrupt, "the backup is cut or changed: its checksum does not match");
  }
  return {};
}

Result<void> check_head(const json::object& head) {
  const auto* format = head.if_contains("format");
  if (!format || !format->is_string() || std::string_view(format->get_string()) != kFormat) {
    return fail(Errc::corrupt, "not a backup of metadata");
  }
  if (number_of(head, "version") == kVersion) return {};
  return fail(Errc::unsupported, "the backup was written by another version");
}

void drop_leased(Snapshot& snapshot) {
  std::erase_if(snapshot.entries, [](const Entry& entry) { return entry.lease != 0; });
}

// All in `found` is in `wanted` (both are in the order of keys), with the same values.
bool is_part_of(const Snapshot& found, const Snapshot& wanted) {
  return std::ranges::includes(
      wanted.entries, found.entries, {},
      [](const Entry& entry) { return std::tie(entry.key, entry.value); },
      [](const Entry& entry) { return std::tie(entry.key, entry.value); });
}

io::Task<Result<void>> commit_all(Metadata& into, Transaction transaction, io::Call call) {
  CO_TRY(const auto done, co_await into.commit(std::move(transaction), std::move(call)));
  if (done.done) co_return Result<void>{};
  co_return fail(Errc::already_exists, "somebody else writes facts during the import");
}

// The entries there without the mark, and whether it was there.
io::Task<Result<std::pair<Snapshot, bool>>> present(Metadata& metadata, io::Call call) {
  CO_TRY(auto found, co_await metadata.list("", std::move(call)));
  const size_t marks =
      std::erase_if(found.entries, [](const Entry& entry) { return entry.key == kUnfinished; });
  co_return std::pair(std::move(found), marks > 0);
}

}  // namespace

std::vector<Transaction> puts_of(const Snapshot& snapshot) {
  std::vector<Transaction> transactions;
  size_t bytes = 0;
  for (const auto& entry : snapshot.entries) {
    const size_t size = entry.key.size() + entry.value.size();
    const bool is_full = transactions.empty() ||
                         transactions.back().operations.size() >= kImportOperationsMax ||
                         bytes + size > kTransactionBytesMax;
    if (is_full) {
      transactions.emplace_back();
      bytes = 0;
    }
    transactions.back().operations.push_back(Operation::put(entry.key, entry.value));
    bytes += size;
  }
  return transactions;
}

std::string write_backup(const Snapshot& all) {
  Snapshot snapshot = all;
  drop_leased(snapshot);
  json::object head;
  head["format"] = kFormat;
  head["version"] = kVersion;
  head["revision"] = snapshot.revision;
  head["entries"] = snapshot.entries.size();
  std::string text = json::serialize(head) + "\n";
  for (const auto& entry : snapshot.entries) {
    json::object line;
    add_text(line, "key", entry.key);
    add_text(line, "value", entry.value);
    text += json::serialize(line) + "\n";
  }
  json::object sum;
  sum["sha256"] = Digest::of(text).hex();
  text += json::serialize(sum) + "\n";
  return text;
}

Result<Snapshot> read_backup(std::string_view text) {
  const auto body = text.ends_with('\n') ? text.substr(0, text.size() - 1) : text;
  const size_t last = body.rfind('\n');
  if (last == std::string_view::npos) return fail(Errc::corrupt, "not a backup of metadata");
  TRY_VOID(check_sum(body.substr(0, last + 1), body.substr(last + 1)));
  const auto lines = split(body.substr(0, last), '\n');
  TRY(const auto head, object_of(lines.front()));
  TRY_VOID(check_head(head));
  Snapshot snapshot;
  snapshot.revision = number_of(head, "revision");
  for (const auto line : std::span(lines).subspan(1)) {
    TRY(const auto object, object_of(line));
    Entry entry;
    TRY(entry.key, text_of(object, "key"));
    TRY(entry.value, text_of(object, "value"));
    if (!check_key(entry.key) || entry.value.size() > kValueBytesMax) {
      return fail(Errc::corrupt, "an entry of the backup is too large");
    }
    snapshot.entries.push_back(std::move(entry));
  }
  if (number_of(head, "entries") != static_cast<int64_t>(snapshot.entries.size()) ||
      !std::ranges::is_sorted(snapshot.entries, std::less_equal{}, &Entry::key)) {
    return fail(Errc::corrupt, "entries of the backup are missing or out of order");
  }
  return snapshot;
}

io::Task<Result<size_t>> import_entries(Metadata& into, Snapshot snapshot, io::Call call) {
  drop_leased(snapshot);
  std::erase_if(snapshot.entries, [](const Entry& entry) { return entry.key == kUnfinished; });
  CO_TRY(const auto before, co_await present(into, call));
  const auto& [found, began_before] = before;
  if (!found.entries.empty() && !(began_before && is_part_of(found, snapshot))) {
    co_return fail(Errc::already_exists, "there are {} other facts already", found.entries.size());
  }
  Transaction begin;
  begin.operations = {Operation::put(std::string(kUnfinished), "")};
  CO_TRY_VOID(co_await commit_all(into, std::move(begin), call));
  for (Transaction& puts : puts_of(snapshot)) {
    CO_TRY_VOID(co_await commit_all(into, std::move(puts), call));
  }
  CO_TRY(const auto after, co_await present(into, call));
  if (after.first.entries.size() != snapshot.entries.size() || !is_part_of(after.first, snapshot)) {
    co_return fail(Errc::corrupt, "the facts read back are not those that were written");
  }
  Transaction end;
  end.operations = {Operation::remove(std::string(kUnfinished))};
  CO_TRY_VOID(co_await commit_all(into, std::move(end), call));
  co_return snapshot.entries.size();
}

}  // namespace om::metadata
