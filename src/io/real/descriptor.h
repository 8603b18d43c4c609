// A file descriptor with an owner.
#pragma once

#include <unistd.h>

#include <utility>

namespace om::io {

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  Descriptor(Descriptor&& from) noexcept : number_(std::exchange(from.number_, -1)) {}
  Descriptor& operator=(Descriptor&& from) noexcept {
    std::swap(number_, from.number_);
    return *this;
  }
  int get() const { return number_; }  // Negative: none.

 private:
  int number_ = -1;
};

}  // namespace om::io
