// A bounded buffer between a socket and a parser: bytes go in at the end and out at the front.
#pragma once

#include <memory>
#include <span>
#include <string_view>

namespace om::http {

// Contiguous, so that a head can be looked at in one piece. Starts small, grows up to `size_max`
// when a lot arrives, and is small again after that was read.
class ByteBuffer {
 public:
  explicit ByteBuffer(size_t size_max);

  std::string_view bytes() const { return {data_.get() + begin_, end_ - begin_}; }
  void consume(size_t count);

  // Where the next read may go; empty: full. May move the bytes: views are void afterwards.
  std::span<char> room();
  void added(size_t count);

 private:
  static constexpr size_t kBytesMin = 4 * 1024;

  size_t size_max_;
  std::unique_ptr<char[]> data_;
  size_t capacity_ = 0, begin_ = 0, end_ = 0, last_added_ = 0;
};

}  // namespace om::http
