#include "transfer/relay.h"

#include <algorithm>

#include "base/log.h"
#include "http/range.h"
#include "transfer/blob_holders.h"
#include "transfer/metrics.h"

namespace om::transfer {
namespace {

// Reads of one answer; `offset` moves on with every byte that was passed on.
io::Task<Result<void>> pass_on(http::ClientResponse& from, http::ResponseWriter& to,
                               uint64_t& offset, uint64_t end, bool& client_gone) {
  std::string buffer;
  while (offset < end) {
    buffer.clear();
    CO_TRY(const bool more, co_await from.read_some(buffer));
    const std::string_view bytes = std::string_view(buffer).substr(0, end - offset);
    if (!bytes.empty()) {
      auto written = co_await to.write(bytes);
      client_gone = !written;
      if (!written) co_return written;
    }
    offset += bytes.size();
    relayed_bytes.add(bytes.size());
    if (!more && offset < end) co_return fail(Errc::unavailable, "the node's answer was short");
  }
  co_return Result<void>{};
}

}  // namespace

io::Task<Result<std::unique_ptr<http::ClientResponse>>> BlobRelay::open(
    const cluster::NodeInfo& node, Digest digest, uint64_t offset, uint64_t end, io::Call call) {
  http::ClientRequest request = blob_request(links_, node, digest);
  request.headers.set("Range", fmt::format("bytes={}-{}", offset, end - 1));
  CO_TRY(auto response, co_await context_.client.send(std::move(request), std::move(call)));
  if (response->status() != 206) {
    co_return fail(Errc::not_found, "node {} answered {}", node.name, response->status());
  }
  response->set_idle_max(kSourceIdleMax);
  co_return std::move(response);
}

io::Task<Result<void>> BlobRelay::send(const http::Request& request, http::ResponseWriter& response,
                                       Digest digest, uint64_t size) {
  const io::Call call{io::kNever, request.cancel};
  if (size == 0) co_return fail(Errc::not_found, "the blob is empty");
  auto holders = co_await wait_for_holders(context_.world, links_, digest, call);
  if (holders.empty()) co_return fail(Errc::not_found, "no node has the blob");
  // Not always the same one first.
  const auto first = static_cast<std::ptrdiff_t>(context_.world.random.below(holders.size()));
  std::ranges::rotate(holders, holders.begin() + first);
  const auto asked = http::parse_range(request.headers.get("Range"), size);
  response.headers().set("Accept-Ranges", "bytes");
  if (asked.kind == http::RangeKind::unsatisfiable) {
    response.headers().set("Content-Range", fmt::format("bytes */{}", size));
    co_return co_await response.send(416, "text/plain", "");
  }
  const bool is_part = asked.kind == http::RangeKind::part;
  uint64_t offset = is_part ? asked.range.offset : 0;
  const uint64_t length = is_part ? asked.range.length : size;
  const uint64_t end = offset + length;
  if (is_part) {
    response.headers().set("Content-Range", fmt::format("bytes {}-{}/{}", offset, end - 1, size));
  }
  const int status = is_part ? 206 : 200;
  Error last{Errc::not_found, "no node has the blob"};
  for (const cluster::NodeInfo& node : holders) {
    auto from = co_await open(node, digest, offset, end, call);
    Result<void> passed;
    bool client_gone = false;
    if (from && !response.started()) {
      passed = co_await response.start(status, "application/octet-stream", length);
      client_gone = !passed;
      if (passed && request.method == "HEAD") co_return co_await response.finish();
    }
    if (!from) passed = fail(from.error());
    if (passed) passed = co_await pass_on(**from, response, offset, end, client_gone);
    if (passed) co_return co_await response.finish();
    last = std::move(passed).error();
    if (client_gone || request.cancel.cancelled()) break;
    log_info("blob asked of another node", field("blob", digest), field("node", node.name),
             field("error", last));
  }
  co_return fail(std::move(last));
}

}  // namespace om::transfer
