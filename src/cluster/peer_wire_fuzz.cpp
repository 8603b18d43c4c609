// Any bytes another node may send: no crash, and what was understood means the same when it is
// written and read again.
#include "base/check.h"
#include "cluster/metadata_wire.h"
#include "cluster/report_wire.h"
#include "engine/remote/wire.h"

namespace {

std::string written(const om::engine::Piece& piece) {
  std::string line;
  om::engine::append_piece(line, piece);
  return line;
}

void read_line(const boost::json::object& line) {
  using namespace om;  // NOLINT: one function.
  const engine::Piece piece = engine::decode_piece(line);
  const auto again = engine::parse_line(written(piece));
  CHECK(again.has_value());
  const engine::Piece same = engine::decode_piece(*again);
  CHECK(same.text == piece.text && same.tokens == piece.tokens && same.done == piece.done);
  CHECK(same.logprobs.size() == piece.logprobs.size());
  if (const auto error = engine::error_in(line)) {
    const auto told = engine::parse_line(engine::error_line(*error));
    CHECK(told && engine::error_in(*told)->what == error->what);
  }
  const cluster::NodeInfo report = cluster::decode_report(line, {});
  const auto report_again = engine::parse_line(cluster::encode_report(report, true));
  CHECK(report_again.has_value());
  CHECK(cluster::decode_report(*report_again, {}).runners.size() == report.runners.size());
  cluster::NodeInfo told = cluster::decode_told(line, {});
  told.name = cluster::told_node(line);
  for (const std::string& text :
       {cluster::encode_told_blobs(told), cluster::encode_told_report(told)}) {
    const auto told_again = engine::parse_line(text);
    CHECK(told_again && cluster::told_node(*told_again) == told.name);
  }
  (void)engine::decode_properties(line);
  (void)cluster::decode_snapshot(line);
  (void)cluster::decode_events(line);
  if (const auto transaction = cluster::decode_transaction(line)) {
    const auto same_one = cluster::decode_transaction(cluster::encode_transaction(*transaction));
    CHECK(same_one && same_one->operations.size() == transaction->operations.size());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto request = om::engine::decode_completion(text)) {
    const auto again = om::engine::decode_completion(om::engine::encode_completion(*request));
    CHECK(again && again->prompt == request->prompt && again->tokens == request->tokens);
  }
  if (const auto line = om::engine::parse_line(text)) read_line(*line);
  return 0;
}
