// A bounded buffer between a socket and a parser: bytes go in at the end and out at the front.
#pragma once

#include <span>
#include <string_view>

#include "base/memory/frame_pool.h"
#include "base/memory/io_buffers.h"

namespace om::http {

// Contiguous, so that a head can be looked at in one piece. A connection that waits holds only a
// small block; when a lot arrives it borrows from io_buffers(), up to `size_max`, and gives that
// back once it was read. On the io thread.
class ByteBuffer {
 public:
  explicit ByteBuffer(size_t size_max);
  ~ByteBuffer();
  ByteBuffer(const ByteBuffer&) = delete;
  ByteBuffer& operator=(const ByteBuffer&) = delete;

  std::string_view bytes() const { return {data_ + begin_, end_ - begin_}; }
  void consume(size_t count);

  // Where the next read may go; empty: full. May move the bytes: views are void afterwards.
  std::span<char> room();
  void added(size_t count);

 private:
  static constexpr size_t kBytesMin = 4 * 1024;

  void grow();
  void drop_small();

  size_t size_max_;
  char* small_ = nullptr;  // kBytesMin bytes of the thread's frame pool.
  IoBuffer large_;         // Instead, once those are full.
  char* data_ = nullptr;   // Of the one in use.
  size_t capacity_ = 0, begin_ = 0, end_ = 0, last_added_ = 0;
};

}  // namespace om::http
