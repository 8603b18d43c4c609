// What the API reads outside of bodies: the mirror's paths, and the headers that pick an answer up.
// The input's lines are a path, Idempotency-Key, Last-Event-ID; the rest is an answer.
#include <cstdint>

#include "api/mirror.h"
#include "api/pick_up.h"
#include "base/check.h"
#include "base/digest.h"

namespace om::api {
namespace {

std::string_view cut_line(std::string_view& text) {
  const size_t end = std::min(text.find('\n'), text.size());
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return line;
}

void read_path(std::string_view path) {
  const auto parsed = MirrorPath::parse(path);
  if (!parsed) return;
  // They become parts of a file's path.
  for (const std::string& part : {parsed->host, parsed->name_space, parsed->model}) {
    CHECK(part != "." && part != ".." && part.find('/') == std::string::npos);
  }
  CHECK(!parsed->name_space.empty() && !parsed->model.empty() && !parsed->reference.empty());
  if (parsed->kind == MirrorPath::Kind::blob) CHECK(Digest::parse(parsed->reference).has_value());
}

void pick_up(std::string_view key, std::string_view last, std::string_view answer) {
  http::Headers headers;
  headers.add("Idempotency-Key", key);
  headers.add("Last-Event-ID", last);
  auto read = read_pick_up(headers, "/api/chat");
  if (!read || !*read) return;
  CHECK((*read)->record.size() == 64 && key.size() <= kIdempotencyKeyMax);
  // Whole events, as they are passed on.
  const std::string whole = std::string(answer) + "\n";
  EventNumbers all(0);
  CHECK(all.pass(whole) == whole);
  const std::string rest = (*read)->numbers.pass(whole);
  CHECK(whole.ends_with(rest));
}

}  // namespace
}  // namespace om::api

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  om::api::read_path(om::api::cut_line(text));
  const std::string_view key = om::api::cut_line(text);
  const std::string_view last = om::api::cut_line(text);
  om::api::pick_up(key, last, text);
  return 0;
}
