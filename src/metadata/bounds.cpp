#include "metadata/bounds.h"

namespace om::metadata {
namespace {

constexpr std::chrono::hours kTimeToLiveMax{24};
constexpr size_t kRequestIdBytesMax = 128;

Result<void> check_compare(const Compare& compare) {
  TRY_VOID(check_key(compare.key));
  if (compare.modified.has_value() == compare.value.has_value()) {
    return fail(Errc::invalid_argument, "a compare names a revision or a value, one of them");
  }
  if (compare.modified && *compare.modified < 0) {
    return fail(Errc::invalid_argument, "a revision is not negative");
  }
  return {};
}

Result<void> check_operation(const Operation& operation) {
  if (operation.kind == Operation::Kind::remove_prefix) {
    TRY_VOID(check_prefix(operation.key));
  } else {
    TRY_VOID(check_key(operation.key));
  }
  if (operation.value.size() > kValueBytesMax) {
    return fail(Errc::invalid_argument, "a value is larger than {} bytes", kValueBytesMax);
  }
  const bool puts = operation.kind == Operation::Kind::put;
  if (operation.lease < 0 || (operation.lease != 0 && !puts)) {
    return fail(Errc::invalid_argument, "a lease is given with a put, and is not negative");
  }
  return {};
}

Result<void> check_overlap(const std::vector<Operation>& operations) {
  std::set<std::string_view> put;
  for (const auto& operation : operations) {
    if (operation.kind != Operation::Kind::put) continue;
    if (!put.insert(operation.key).second) {
      return fail(Errc::invalid_argument, "a transaction puts one key twice");
    }
  }
  for (const auto& operation : operations) {
    if (operation.kind == Operation::Kind::put) continue;
    const auto first = put.lower_bound(operation.key);
    const bool prefix = operation.kind == Operation::Kind::remove_prefix;
    if (first == put.end()) continue;
    if (prefix ? first->starts_with(operation.key) : *first == operation.key) {
      return fail(Errc::invalid_argument, "a transaction puts and removes one key");
    }
  }
  return {};
}

}  // namespace

Result<void> check_key(std::string_view key) {
  if (key.empty()) return fail(Errc::invalid_argument, "a key is empty");
  return check_prefix(key);
}

Result<void> check_prefix(std::string_view prefix) {
  if (prefix.size() <= kKeyBytesMax) return {};
  return fail(Errc::invalid_argument, "a key is longer than {} bytes", kKeyBytesMax);
}

Result<void> check_transaction(const Transaction& transaction) {
  if (transaction.operations.size() > kOperationsMax ||
      transaction.compares.size() > kOperationsMax) {
    return fail(Errc::invalid_argument, "more than {} compares or operations in one transaction",
                kOperationsMax);
  }
  if (transaction.request_id.size() > kRequestIdBytesMax) {
    return fail(Errc::invalid_argument, "a request id is longer than {} bytes", kRequestIdBytesMax);
  }
  size_t bytes = 0;
  for (const auto& compare : transaction.compares) {
    TRY_VOID(check_compare(compare));
    bytes += compare.key.size() + (compare.value ? compare.value->size() : 0);
  }
  for (const auto& operation : transaction.operations) {
    TRY_VOID(check_operation(operation));
    bytes += operation.key.size() + operation.value.size();
  }
  if (bytes > kTransactionBytesMax) {
    return fail(Errc::invalid_argument, "a transaction is larger than {} bytes",
                kTransactionBytesMax);
  }
  return check_overlap(transaction.operations);
}

Result<void> check_time_to_live(std::chrono::seconds time_to_live) {
  if (time_to_live >= std::chrono::seconds(1) && time_to_live <= kTimeToLiveMax) return {};
  return fail(Errc::invalid_argument, "a lease lives one second to one day");
}

std::optional<std::string> prefix_end(std::string_view prefix) {
  std::string end(prefix);
  while (!end.empty() && end.back() == '\xff') end.pop_back();
  if (end.empty()) return std::nullopt;
  end.back() = static_cast<char>(static_cast<uint8_t>(end.back()) + 1);
  return end;
}

}  // namespace om::metadata
