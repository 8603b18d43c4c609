#include "http/byte_buffer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace om::http {

ByteBuffer::ByteBuffer(size_t size_max) : size_max_(std::max(size_max, kBytesMin)) {}

ByteBuffer::~ByteBuffer() { drop_small(); }

void ByteBuffer::drop_small() {
  if (small_ == nullptr) return;
  FramePool::of_this_thread().deallocate(std::exchange(small_, nullptr), kBytesMin);
}

void ByteBuffer::grow() {
  IoBuffer larger = io_buffers().get(std::min(capacity_ * 4, size_max_));
  if (end_ > 0) std::memcpy(larger.data(), data_, end_);
  drop_small();
  large_ = std::move(larger);
  data_ = large_.data();
  capacity_ = std::min(large_.size(), size_max_);
  last_added_ = 0;
}

void ByteBuffer::consume(size_t count) {
  CHECK(count <= end_ - begin_);
  begin_ += count;
}

void ByteBuffer::added(size_t count) {
  CHECK(count <= capacity_ - end_);
  end_ += count;
  last_added_ = count;
}

std::span<char> ByteBuffer::room() {
  if (begin_ == end_) {
    begin_ = end_ = 0;
    if (!data_ || (capacity_ > kBytesMin && last_added_ < kBytesMin)) {
      large_.reset();
      small_ = static_cast<char*>(FramePool::of_this_thread().allocate(kBytesMin));
      data_ = small_;
      capacity_ = kBytesMin;
    }
  }
  if (capacity_ - end_ < capacity_ / 2 && begin_ > 0) {
    std::memmove(data_, data_ + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  // The small block is left only when it is all but full: most requests fit, and their connection
  // then waits without a large one.
  const size_t reserve = capacity_ == kBytesMin ? capacity_ / 8 : capacity_ / 2;
  const bool filled = last_added_ >= capacity_ - reserve;
  if ((capacity_ - end_ < reserve || filled) && capacity_ < size_max_) grow();
  return {data_ + end_, capacity_ - end_};
}

}  // namespace om::http
