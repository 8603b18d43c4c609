#include "http/byte_buffer.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace om::http {

ByteBuffer::ByteBuffer(size_t size_max) : size_max_(std::max(size_max, kBytesMin)) {}

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
      capacity_ = kBytesMin;
      data_ = std::make_unique_for_overwrite<char[]>(capacity_);
    }
  }
  if (capacity_ - end_ < capacity_ / 2 && begin_ > 0) {
    std::memmove(data_.get(), data_.get() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  const bool filled = last_added_ >= capacity_ / 2;
  if ((capacity_ - end_ < capacity_ / 2 || filled) && capacity_ < size_max_) {
    const size_t larger = std::min(capacity_ * 4, size_max_);
    auto data = std::make_unique_for_overwrite<char[]>(larger);
    if (end_ > 0) std::memcpy(data.get(), data_.get(), end_);
    data_ = std::move(data);
    capacity_ = larger;
    last_added_ = 0;
  }
  return {data_.get() + end_, capacity_ - end_};
}

}  // namespace om::http
