#include "metadata/etcd/request.h"

#include "base/base64.h"
#include "metadata/bounds.h"

namespace om::metadata {
namespace {

// "\0" alone as the end of a range means: to the last key.
std::string end_of(std::string_view prefix) {
  return base64_encode(prefix_end(prefix).value_or(std::string(1, '\0')));
}

std::string key_under(std::string_view prefix, std::string_view key) {
  return base64_encode(std::string(prefix).append(key));
}

void append_compare(std::string& out, std::string_view prefix, const Compare& compare) {
  const std::string key = key_under(prefix, compare.key);
  if (compare.value) {
    out += fmt::format(R"({{"target":"VALUE","result":"EQUAL","key":"{}","value":"{}"}},)", key,
                       base64_encode(*compare.value));
  } else {
    out += fmt::format(R"({{"target":"MOD","result":"EQUAL","key":"{}","mod_revision":"{}"}},)",
                       key, compare.modified.value_or(0));
  }
}

void append_operation(std::string& out, std::string_view prefix, const Operation& operation) {
  const std::string key = key_under(prefix, operation.key);
  switch (operation.kind) {
    case Operation::Kind::put:
      out += fmt::format(R"({{"request_put":{{"key":"{}","value":"{}","lease":"{}"}}}},)", key,
                         base64_encode(operation.value), operation.lease);
      break;
    case Operation::Kind::remove:
      out += fmt::format(R"({{"request_delete_range":{{"key":"{}"}}}},)", key);
      break;
    case Operation::Kind::remove_prefix:
      out += fmt::format(R"({{"request_delete_range":{{"key":"{}","range_end":"{}"}}}},)", key,
                         end_of(std::string(prefix).append(operation.key)));
      break;
  }
}

void close_list(std::string& out) {
  if (out.back() == ',') out.pop_back();
  out += ']';
}

}  // namespace

std::string range_body(const RangeRequest& request) {
  std::string from(request.prefix);
  if (!request.after.empty()) from = std::string(request.after) + '\0';
  return fmt::format(R"({{"key":"{}","range_end":"{}","limit":"{}","revision":"{}"}})",
                     base64_encode(from), end_of(request.prefix), request.limit, request.revision);
}

std::string get_body(std::string_view key) {
  return fmt::format(R"({{"key":"{}"}})", base64_encode(key));
}

std::string transaction_body(const Transaction& transaction, const TransactionRequest& request) {
  const std::string request_key = base64_encode(request.request_key);
  std::string out = R"({"compare":[)";
  for (const auto& compare : transaction.compares) append_compare(out, request.prefix, compare);
  if (!request_key.empty())
    append_compare(out, "", Compare::absent(std::string(request.request_key)));
  close_list(out);
  out += R"(,"success":[)";
  for (const auto& operation : transaction.operations) {
    append_operation(out, request.prefix, operation);
  }
  if (!request_key.empty()) {
    out += fmt::format(R"({{"request_put":{{"key":"{}","lease":"{}"}}}},)", request_key,
                       request.request_lease);
  }
  close_list(out);
  if (!request_key.empty()) {
    out += fmt::format(R"(,"failure":[{{"request_range":{{"key":"{}"}}}}])", request_key);
  }
  out += '}';
  return out;
}

std::string grant_body(LeaseId id, std::chrono::seconds time_to_live) {
  return fmt::format(R"({{"ID":"{}","TTL":"{}"}})", id, time_to_live.count());
}

std::string lease_body(LeaseId id) { return fmt::format(R"({{"ID":"{}"}})", id); }

std::string watch_body(std::string_view prefix, Revision from) {
  return fmt::format(R"({{"create_request":{{"key":"{}","range_end":"{}","start_revision":"{}",)"
                     R"("progress_notify":true}}}})",
                     base64_encode(prefix), end_of(prefix), from);
}

}  // namespace om::metadata
