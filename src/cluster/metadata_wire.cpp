#include "cluster/metadata_wire.h"

#include "base/json_fields.h"

namespace om::cluster {
namespace {

namespace json = boost::json;

using metadata::Compare;
using metadata::Operation;

// Escaped, it may be six times as long: readers take lines of 16 MiB.
constexpr size_t kPageBytesMax = 1 << 20;

std::string_view name_of(Operation::Kind kind) {
  switch (kind) {
    case Operation::Kind::put:
      return "put";
    case Operation::Kind::remove:
      return "remove";
    case Operation::Kind::remove_prefix:
      return "remove_prefix";
  }
  return "";
}

Result<Operation> decode_operation(const json::value& value) {
  if (!value.is_object()) return fail(Errc::corrupt, "an operation is no object");
  const JsonFields fields(value.get_object());
  Operation operation;
  const std::string kind = fields.text("kind");
  if (kind == "put") {
    operation.kind = Operation::Kind::put;
  } else if (kind == "remove") {
    operation.kind = Operation::Kind::remove;
  } else if (kind == "remove_prefix") {
    operation.kind = Operation::Kind::remove_prefix;
  } else {
    return fail(Errc::corrupt, "unknown operation '{}'", kind);
  }
  fields.read("key", operation.key);
  fields.read("value", operation.value);
  fields.read("lease", operation.lease);
  return operation;
}

Result<Compare> decode_compare(const json::value& value) {
  if (!value.is_object()) return fail(Errc::corrupt, "a compare is no object");
  const JsonFields fields(value.get_object());
  Compare compare;
  fields.read("key", compare.key);
  fields.read("modified", compare.modified);
  fields.read("value", compare.value);
  return compare;
}

}  // namespace

json::object encode_transaction(const metadata::Transaction& transaction) {
  json::array compares, operations;
  for (const Compare& compare : transaction.compares) {
    json::object object{{"key", compare.key}};
    if (compare.modified) object["modified"] = *compare.modified;
    if (compare.value) object["value"] = *compare.value;
    compares.push_back(std::move(object));
  }
  for (const Operation& operation : transaction.operations) {
    operations.push_back({{"kind", name_of(operation.kind)},
                          {"key", operation.key},
                          {"value", operation.value},
                          {"lease", operation.lease}});
  }
  return {{"compares", std::move(compares)},
          {"operations", std::move(operations)},
          {"request_id", transaction.request_id}};
}

Result<metadata::Transaction> decode_transaction(const json::object& object) {
  const JsonFields fields(object);
  metadata::Transaction transaction;
  fields.read("request_id", transaction.request_id);
  if (const json::array* compares = fields.array("compares")) {
    for (const json::value& value : *compares) {
      TRY(Compare compare, decode_compare(value));
      transaction.compares.push_back(std::move(compare));
    }
  }
  if (const json::array* operations = fields.array("operations")) {
    for (const json::value& value : *operations) {
      TRY(Operation operation, decode_operation(value));
      transaction.operations.push_back(std::move(operation));
    }
  }
  return transaction;
}

template <class Entry, class Each>
void each_field(Entry& entry, Each&& each) {
  each("key", entry.key);
  each("value", entry.value);
  each("created", entry.created);
  each("modified", entry.modified);
  each("version", entry.version);
  each("lease", entry.lease);
}

json::object encode_entry(const metadata::Entry& entry) {
  json::object object;
  each_field(entry, [&](auto name, const auto& value) { object[name] = value; });
  return object;
}

metadata::Entry decode_entry(const json::object& object) {
  const JsonFields fields(object);
  metadata::Entry entry;
  each_field(entry, [&](auto name, auto& value) { fields.read(name, value); });
  return entry;
}

json::object encode_snapshot(const metadata::Snapshot& snapshot) {
  json::array entries;
  for (const metadata::Entry& entry : snapshot.entries) entries.push_back(encode_entry(entry));
  return {{"entries", std::move(entries)}, {"revision", snapshot.revision}};
}

metadata::Snapshot decode_snapshot(const json::object& object) {
  const JsonFields fields(object);
  metadata::Snapshot snapshot;
  fields.read("revision", snapshot.revision);
  if (const json::array* entries = fields.array("entries")) {
    for (const json::value& value : *entries) {
      if (value.is_object()) snapshot.entries.push_back(decode_entry(value.get_object()));
    }
  }
  return snapshot;
}

std::vector<metadata::Snapshot> pages_of(metadata::Snapshot snapshot) {
  std::vector<metadata::Snapshot> pages(1);
  size_t bytes = 0;
  for (metadata::Entry& entry : snapshot.entries) {
    const size_t size = entry.key.size() + entry.value.size();
    if (bytes > 0 && bytes + size > kPageBytesMax) {
      pages.emplace_back();
      bytes = 0;
    }
    bytes += size;
    pages.back().entries.push_back(std::move(entry));
  }
  for (metadata::Snapshot& page : pages) page.revision = snapshot.revision;
  return pages;
}

json::object encode_events(const std::vector<metadata::Event>& events) {
  json::array array;
  for (const metadata::Event& event : events) {
    json::object object = encode_entry(event.entry);
    object["removed"] = event.removed;
    array.push_back(std::move(object));
  }
  return {{"events", std::move(array)}};
}

std::vector<metadata::Event> decode_events(const json::object& object) {
  std::vector<metadata::Event> events;
  const json::array* array = JsonFields(object).array("events");
  if (!array) return events;
  for (const json::value& value : *array) {
    if (!value.is_object()) continue;
    metadata::Event& event = events.emplace_back();
    event.entry = decode_entry(value.get_object());
    JsonFields(value.get_object()).read("removed", event.removed);
  }
  return events;
}

}  // namespace om::cluster
