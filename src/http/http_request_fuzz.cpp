// Any bytes as a client's side of a connection: whatever way they are cut, the same requests and
// bodies come out, and nothing is read outside of them.
#include "base/check.h"
#include "http/chunked.h"
#include "http/head.h"

namespace om::http {
namespace {

constexpr size_t kRequestsMax = 16;

// Everything the parsers found, as text to compare.
class Conversation {
 public:
  void add(std::string_view bytes) {
    buffer_ += bytes;
    while (step()) {
    }
  }
  const std::string& log() const { return log_; }

 private:
  bool step() {
    if (closed_) return false;
    if (framing_ == Framing::chunked) return take_chunks();
    if (framing_ == Framing::length) return take_length();
    const size_t length = scanner_.scan(buffer_);
    if (scanner_.refused()) return close(scanner_.refused());
    if (length == 0) return false;
    RequestHead head;
    if (const Refusal refusal =
            parse_request_head(std::string_view(buffer_).substr(0, length), HeadLimits{}, head)) {
      return close(refusal);
    }
    log_.append(head.method).append(" ").append(head.target).append("\n");
    for (const auto& [name, value] : head.headers) {
      CHECK(valid_field_name(name) && valid_field_value(value));
      log_.append(name).append(": ").append(value).append("\n");
    }
    CHECK(!(head.headers.has("Content-Length") && head.headers.has("Transfer-Encoding")));
    framing_ = head.framing;
    left_ = head.length;
    decoder_ = ChunkDecoder();
    buffer_.erase(0, length);
    scanner_.reset();
    closed_ = ++requests_ == kRequestsMax || !head.keep_alive;
    return true;
  }
  bool take_chunks() {
    std::string_view input = buffer_;
    while (!input.empty() && !decoder_.done() && !decoder_.failed()) {
      log_ += decoder_.next(input);
    }
    buffer_.erase(0, buffer_.size() - input.size());
    if (decoder_.failed()) return close({400, "chunks"});
    if (decoder_.done()) framing_ = Framing::none;
    return decoder_.done();
  }
  bool take_length() {
    const size_t count = std::min<uint64_t>(left_, buffer_.size());
    log_.append(buffer_, 0, count);
    buffer_.erase(0, count);
    left_ -= count;
    if (left_ == 0) framing_ = Framing::none;
    return left_ == 0;
  }
  bool close(const Refusal& refusal) {
    log_ += fmt::format("\nrefused: {} {}", refusal.status, refusal.why);
    closed_ = true;
    return false;
  }

  std::string buffer_, log_;
  HeadScanner scanner_{HeadLimits{}};
  ChunkDecoder decoder_;
  Framing framing_ = Framing::none;
  uint64_t left_ = 0;
  size_t requests_ = 0;
  bool closed_ = false;
};

std::string talk(std::string_view bytes, size_t slice) {
  Conversation conversation;
  for (size_t at = 0; at < bytes.size(); at += slice) conversation.add(bytes.substr(at, slice));
  return conversation.log();
}

}  // namespace
}  // namespace om::http

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::string whole = om::http::talk(bytes, size + 1);
  for (const size_t slice : {1, 2, 7, 69}) CHECK(om::http::talk(bytes, slice) == whole);
  return 0;
}
