// Builds small GGUF files in memory, right or wrong ones, for tests. Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace om::model {

class GgufBuilder {
 public:
  GgufBuilder& text(std::string_view key, std::string_view value) {
    return entry(key, 8, counted(value));
  }
  GgufBuilder& u32(std::string_view key, uint32_t value) { return entry(key, 4, number(value)); }
  GgufBuilder& f32(std::string_view key, float value) { return entry(key, 6, number(value)); }
  GgufBuilder& boolean(std::string_view key, bool value) {
    return entry(key, 7, std::string(1, value ? '\1' : '\0'));
  }
  GgufBuilder& texts(std::string_view key, const std::vector<std::string>& values) {
    std::string elements;
    for (const std::string& value : values) elements += counted(value);
    return raw_array(key, 8, values.size(), elements);
  }
  // The count may lie.
  GgufBuilder& raw_array(std::string_view key, uint32_t type, uint64_t count,
                         std::string_view elements) {
    return entry(key, 9, number(type) + number(count) + std::string(elements));
  }

  // A tensor and room for its F32 (0), Q4_0 (2), Q8_0 (8) or Q4_K (12) weights.
  GgufBuilder& tensor(std::string_view name, const std::vector<uint64_t>& shape, uint32_t type) {
    tensor_entry(name, shape, type, data_.size());
    uint64_t elements = 1;
    for (uint64_t length : shape) elements *= length;
    uint64_t block = type == 12 ? 256 : type == 0 ? 1 : 32;
    uint64_t bytes = type == 12 ? 144 : type == 0 ? 4 : type == 2 ? 18 : 34;
    data_.resize(data_.size() + elements / block * bytes);
    return *this;
  }
  // Only the entry; nothing lies in the data section for it.
  GgufBuilder& tensor_entry(std::string_view name, const std::vector<uint64_t>& shape,
                            uint32_t type, uint64_t offset) {
    tensors_ += counted(name) + number(static_cast<uint32_t>(shape.size()));
    for (uint64_t length : shape) tensors_ += number(length);
    tensors_ += number(type) + number(offset);
    tensor_count_++;
    return *this;
  }

  GgufBuilder& version(uint32_t version) {
    version_ = version;
    return *this;
  }
  GgufBuilder& key_count(uint64_t count) {
    key_count_ = count;
    return *this;
  }
  GgufBuilder& tensor_count(uint64_t count) {
    tensor_count_ = count;
    return *this;
  }

  std::string bytes() const {
    std::string out = "GGUF" + number(version_) + number(tensor_count_) + number(key_count_);
    out += keys_ + tensors_;
    if (!data_.empty()) out.resize((out.size() + 31) / 32 * 32);
    return out + data_;
  }

 private:
  template <class T>
  static std::string number(T value) {
    return std::string(reinterpret_cast<const char*>(&value), sizeof value);
  }
  static std::string counted(std::string_view text) {
    return number(uint64_t{text.size()}) + std::string(text);
  }
  GgufBuilder& entry(std::string_view key, uint32_t type, std::string_view value) {
    keys_ += counted(key) + number(type) + std::string(value);
    key_count_++;
    return *this;
  }

  uint32_t version_ = 3;
  uint64_t key_count_ = 0, tensor_count_ = 0;
  std::string keys_, tensors_, data_;
};

}  // namespace om::model
