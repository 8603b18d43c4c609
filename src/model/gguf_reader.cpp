#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "model/gguf.h"

namespace om::model {
namespace {

constexpr size_t kWindowBytes = 64 << 10;
constexpr uint64_t kKeyLengthMax = 1024;
constexpr uint64_t kTensorNameLengthMax = 1024;
constexpr uint32_t kDimensionsMax = 4;
constexpr uint32_t kAlignmentMax = 1 << 20;
constexpr uint64_t kKeysMax = 1 << 16;
constexpr uint64_t kTensorsMax = 1 << 20;
constexpr uint64_t kTokenLengthMax = 4096;  // Of BOS and EOS, which are kept.

constexpr size_t kKeyOverhead = 96;      // Map node and JSON value.
constexpr size_t kElementOverhead = 48;  // JSON value and string header.
constexpr size_t kTensorOverhead = 160;

// The smallest number of bytes one entry can take; lying counts are found before any loop.
constexpr uint64_t kKeyBytesMin = 8 + 4 + 1;
constexpr uint64_t kTensorBytesMin = 8 + 4 + 4 + 8;

enum Type : uint32_t {
  kUint8 = 0,
  kInt8,
  kUint16,
  kInt16,
  kUint32,
  kInt32,
  kFloat32,
  kBool,
  kString,
  kArray,
  kUint64,
  kInt64,
  kFloat64,
  kTypes
};

uint64_t size_of(uint32_t type) {
  switch (type) {
    case kUint8:
    case kInt8:
    case kBool:
      return 1;
    case kUint16:
    case kInt16:
      return 2;
    case kUint32:
    case kInt32:
    case kFloat32:
      return 4;
    case kUint64:
    case kInt64:
    case kFloat64:
    case kString:  // At least its length.
      return 8;
    default:
      return 0;
  }
}

// A cursor over the source. All reading goes through it, so nothing outside the file is read.
class Cursor {
 public:
  explicit Cursor(GgufSource& source) : source_(source), size_(source.size()) {}

  uint64_t position() const { return position_; }
  uint64_t remaining() const { return size_ - position_; }
  uint64_t size() const { return size_; }
  void seek(uint64_t position) {
    CHECK(position <= size_);
    position_ = position;
  }

  Result<void> skip(uint64_t count) {
    if (count > remaining()) return truncated();
    position_ += count;
    return {};
  }

  template <class T>
  Result<T> number() {
    char bytes[sizeof(T)];
    TRY_VOID(read(bytes));
    T value;
    std::memcpy(&value, bytes, sizeof(T));  // GGUF is little-endian, and so are we.
    return value;
  }

  Result<void> read(std::span<char> into) {
    if (into.size() > remaining()) return truncated();
    while (!into.empty()) {
      if (position_ < window_start_ || position_ >= window_start_ + window_.size()) {
        TRY_VOID(fill());
      }
      size_t at = position_ - window_start_;
      size_t count = std::min(into.size(), window_.size() - at);
      std::memcpy(into.data(), window_.data() + at, count);
      into = into.subspan(count);
      position_ += count;
    }
    return {};
  }

  static std::unexpected<Error> truncated() {
    return fail(Errc::corrupt, "GGUF: the header says more than the file holds");
  }

 private:
  static_assert(std::endian::native == std::endian::little);

  Result<void> fill() {
    size_t count = std::min<uint64_t>(kWindowBytes, size_ - position_);
    window_.resize(count);
    window_start_ = position_;
    size_t filled = 0;
    while (filled < count) {
      TRY(size_t got, source_.read_at(position_ + filled, std::span(window_).subspan(filled)));
      if (got == 0) {
        window_.clear();
        return fail(Errc::corrupt, "GGUF: the file became shorter while it was read");
      }
      filled += got;
    }
    return {};
  }

  GgufSource& source_;
  uint64_t size_;
  uint64_t position_ = 0;
  uint64_t window_start_ = 0;
  std::vector<char> window_;
};

// The double that prints like the float: 0.1f is 0.1, not 0.10000000149011612.
double widen(float number) {
  char text[64];
  auto [end, error] = std::to_chars(text, text + sizeof text, number);
  double wide = number;
  if (error == std::errc()) std::from_chars(text, end, wide);
  return wide;
}

class Reader {
 public:
  Reader(GgufSource& source, const GgufOptions& options) : cursor_(source), options_(options) {}

  Result<Gguf> read() {
    TRY_VOID(read_start());
    for (uint64_t i = 0; i < key_count_; i++) TRY_VOID(read_key());
    TRY_VOID(read_alignment());
    gguf_.tensors.reserve(tensor_count_);
    for (uint64_t i = 0; i < tensor_count_; i++) TRY_VOID(read_tensor());
    TRY_VOID(check_data());
    TRY_VOID(look_up_tokens());
    return std::move(gguf_);
  }

 private:
  Result<void> read_start() {
    char magic[4];
    if (cursor_.size() < 4) return fail(Errc::corrupt, "not a GGUF file");
    TRY_VOID(cursor_.read(magic));
    if (!is_gguf({magic, 4})) return fail(Errc::corrupt, "not a GGUF file");
    TRY(gguf_.version, cursor_.number<uint32_t>());
    if ((gguf_.version & 0xFFFF) == 0) {
      return fail(Errc::unsupported, "GGUF: big-endian files are not supported");
    }
    constexpr uint32_t kVersionsToCome = 100;  // Above it the field is no version at all.
    if (gguf_.version > kVersionsToCome) return fail(Errc::corrupt, "GGUF: the header is damaged");
    if (gguf_.version != 2 && gguf_.version != 3) {
      return fail(Errc::unsupported, "GGUF: version {} is not supported", gguf_.version);
    }
    TRY(tensor_count_, cursor_.number<uint64_t>());
    TRY(key_count_, cursor_.number<uint64_t>());
    if (key_count_ > kKeysMax || key_count_ > cursor_.remaining() / kKeyBytesMin) {
      return fail(Errc::corrupt, "GGUF: {} keys cannot be in this file", key_count_);
    }
    if (tensor_count_ > kTensorsMax || tensor_count_ > cursor_.remaining() / kTensorBytesMin) {
      return fail(Errc::corrupt, "GGUF: {} tensors cannot be in this file", tensor_count_);
    }
    return take(tensor_count_ * kTensorOverhead);
  }

  // Counts memory before it is used.
  Result<void> take(uint64_t bytes) {
    if (bytes > options_.memory_max - used_) {
      return fail(Errc::overloaded, "GGUF: the header needs more than {} bytes of memory",
                  options_.memory_max);
    }
    used_ += bytes;
    return {};
  }

  Result<std::string> read_string(uint64_t length_max) {
    TRY(uint64_t length, cursor_.number<uint64_t>());
    if (length > cursor_.remaining()) return Cursor::truncated();
    if (length > length_max) {
      return fail(Errc::corrupt, "GGUF: a string of {} bytes where {} are allowed", length,
                  length_max);
    }
    TRY_VOID(take(length));
    std::string text(length, '\0');
    TRY_VOID(cursor_.read(text));
    return text;
  }

  Result<void> skip_string() {
    TRY(uint64_t length, cursor_.number<uint64_t>());
    return cursor_.skip(length);
  }

  template <class T>
  Result<boost::json::value> read_number() {
    TRY(T number, cursor_.number<T>());
    if constexpr (std::is_same_v<T, float>) {
      return boost::json::value(widen(number));
    } else {
      return boost::json::value(number);
    }
  }

  Result<boost::json::value> read_scalar(uint32_t type) {
    switch (type) {
      case kUint8:
        return read_number<uint8_t>();
      case kInt8:
        return read_number<int8_t>();
      case kUint16:
        return read_number<uint16_t>();
      case kInt16:
        return read_number<int16_t>();
      case kUint32:
        return read_number<uint32_t>();
      case kInt32:
        return read_number<int32_t>();
      case kFloat32:
        return read_number<float>();
      case kUint64:
        return read_number<uint64_t>();
      case kInt64:
        return read_number<int64_t>();
      case kFloat64:
        return read_number<double>();
      case kBool: {
        TRY(auto byte, cursor_.number<uint8_t>());
        return boost::json::value(byte != 0);
      }
      case kString: {
        TRY(auto text, read_string(options_.memory_max));
        return boost::json::value(text);
      }
      default:
        return fail(Errc::corrupt, "GGUF: value type {} does not exist", type);
    }
  }

  Result<boost::json::value> read_array(const std::string& key) {
    GgufArray array;
    TRY(array.type, cursor_.number<uint32_t>());
    TRY(array.count, cursor_.number<uint64_t>());
    array.offset = cursor_.position();
    uint64_t element_bytes = size_of(array.type);
    if (element_bytes == 0) {
      return fail(Errc::corrupt, "GGUF: {} is an array of type {}", key, array.type);
    }
    if (array.count > cursor_.remaining() / element_bytes) return Cursor::truncated();
    gguf_.arrays.emplace(key, array);

    if (array.count > options_.array_length_max) {
      if (array.type != kString) {
        TRY_VOID(cursor_.skip(array.count * element_bytes));
      } else {
        for (uint64_t i = 0; i < array.count; i++) TRY_VOID(skip_string());
      }
      return boost::json::value(nullptr);
    }
    TRY_VOID(take(array.count * kElementOverhead));
    boost::json::array values;
    values.reserve(array.count);
    for (uint64_t i = 0; i < array.count; i++) {
      TRY(auto value, read_scalar(array.type));
      values.push_back(std::move(value));
    }
    return boost::json::value(std::move(values));
  }

  Result<void> read_key() {
    TRY_VOID(take(kKeyOverhead));
    TRY(auto key, read_string(kKeyLengthMax));
    if (gguf_.metadata.contains(key)) return fail(Errc::corrupt, "GGUF: key {} twice", key);
    TRY(auto type, cursor_.number<uint32_t>());
    boost::json::value value;
    if (type == kArray) {
      TRY(value, read_array(key));
    } else {
      TRY(value, read_scalar(type));
    }
    gguf_.metadata.emplace(key, std::move(value));
    return {};
  }

  Result<void> read_alignment() {
    const auto* value = gguf_.metadata.if_contains("general.alignment");
    if (!value) return {};
    boost::system::error_code error;
    auto alignment = value->is_number() ? value->to_number<uint32_t>(error) : 0;
    if (error || !std::has_single_bit(alignment) || alignment > kAlignmentMax) {
      return fail(Errc::corrupt, "GGUF: general.alignment is no sensible power of two");
    }
    gguf_.alignment = alignment;
    return {};
  }

  Result<void> read_tensor() {
    GgufTensor tensor;
    TRY(tensor.name, read_string(kTensorNameLengthMax));
    TRY(auto dimensions, cursor_.number<uint32_t>());
    if (dimensions > kDimensionsMax) {
      return fail(Errc::corrupt, "GGUF: tensor {} has {} dimensions", tensor.name, dimensions);
    }
    uint64_t elements = 1;
    for (uint32_t i = 0; i < dimensions; i++) {
      TRY(auto length, cursor_.number<uint64_t>());
      tensor.shape.push_back(length);
      if (__builtin_mul_overflow(elements, length, &elements) ||
          elements > std::numeric_limits<int64_t>::max()) {
        return fail(Errc::corrupt, "GGUF: tensor {} is impossibly large", tensor.name);
      }
    }
    TRY(tensor.type, cursor_.number<uint32_t>());
    TRY(tensor.offset, cursor_.number<uint64_t>());
    const GgufTensorType* type = gguf_tensor_type(tensor.type);
    if (!type) {
      return fail(Errc::unsupported, "GGUF: tensor {} has the unknown type {}", tensor.name,
                  tensor.type);
    }
    uint64_t row = tensor.shape.empty() ? 1 : tensor.shape.front();
    if (row % type->block_elements != 0) {
      return fail(Errc::corrupt, "GGUF: rows of tensor {} do not fit blocks of {}", tensor.name,
                  type->name);
    }
    if (__builtin_mul_overflow(elements / type->block_elements, type->block_bytes, &tensor.size)) {
      return fail(Errc::corrupt, "GGUF: tensor {} is impossibly large", tensor.name);
    }
    gguf_.tensors.push_back(std::move(tensor));
    return {};
  }

  // The weights must lie where the table says, inside the file.
  Result<void> check_data() {
    uint64_t end = cursor_.position();
    gguf_.data_offset = (end + gguf_.alignment - 1) / gguf_.alignment * gguf_.alignment;
    uint64_t data_size =
        cursor_.size() > gguf_.data_offset ? cursor_.size() - gguf_.data_offset : 0;
    for (const GgufTensor& tensor : gguf_.tensors) {
      if (tensor.offset % gguf_.alignment != 0) {
        return fail(Errc::corrupt, "GGUF: tensor {} is not aligned", tensor.name);
      }
      if (tensor.offset > data_size || tensor.size > data_size - tensor.offset) {
        return fail(Errc::corrupt, "GGUF: tensor {} lies beyond the end of the file", tensor.name);
      }
    }
    return {};
  }

  uint64_t token_id(std::string_view key) const {
    const auto* value = gguf_.metadata.if_contains(key);
    boost::system::error_code error;
    auto id = value && value->is_number() ? value->to_number<uint64_t>(error) : UINT64_MAX;
    return error ? UINT64_MAX : id;
  }

  // Templates want BOS and EOS as text; the vocabulary itself is not kept.
  Result<void> look_up_tokens() {
    auto at = gguf_.arrays.find("tokenizer.ggml.tokens");
    if (at == gguf_.arrays.end() || at->second.type != kString) return {};
    uint64_t bos = token_id("tokenizer.ggml.bos_token_id");
    uint64_t eos = token_id("tokenizer.ggml.eos_token_id");
    cursor_.seek(at->second.offset);
    for (uint64_t i = 0; i < at->second.count; i++) {
      bool found_bos = bos == UINT64_MAX || bos < i;
      bool found_eos = eos == UINT64_MAX || eos < i;
      if (found_bos && found_eos) break;
      if (i != bos && i != eos) {
        TRY_VOID(skip_string());
        continue;
      }
      TRY(auto token, read_string(kTokenLengthMax));
      if (i == bos) gguf_.bos_token = token;
      if (i == eos) gguf_.eos_token = std::move(token);
    }
    return {};
  }

  Cursor cursor_;
  GgufOptions options_;
  Gguf gguf_;
  uint64_t key_count_ = 0, tensor_count_ = 0;
  size_t used_ = 0;
};

}  // namespace

Result<size_t> MemorySource::read_at(uint64_t offset, std::span<char> into) {
  CHECK(offset <= bytes_.size() && into.size() <= bytes_.size() - offset, "read outside the file");
  std::memcpy(into.data(), bytes_.data() + offset, into.size());
  return into.size();
}

bool is_gguf(std::string_view start) { return start.starts_with("GGUF"); }

Result<Gguf> read_gguf(GgufSource& source, const GgufOptions& options) {
  return Reader(source, options).read();
}

Result<GgufSummary> read_gguf_summary(GgufSource& source) {
  TRY(auto gguf, read_gguf(source));
  return gguf.summarize();
}

}  // namespace om::model
