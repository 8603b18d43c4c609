#include "http/chunked.h"

#include <algorithm>
#include <charconv>

#include "base/strings.h"

namespace om::http {
namespace {

bool is_control(char c) {
  const auto byte = static_cast<uint8_t>(c);
  return (byte < ' ' && c != '\t') || byte == 127;
}

}  // namespace

std::string_view ChunkDecoder::next(std::string_view& input) {
  while (!input.empty()) {
    if (state_ == State::data) {
      const size_t count = std::min<uint64_t>(left_, input.size());
      const std::string_view piece = input.substr(0, count);
      input.remove_prefix(count);
      left_ -= count;
      if (left_ == 0) state_ = State::data_cr;
      return piece;
    }
    if (state_ == State::done || state_ == State::failed) break;
    state_ = step(input.front());
    input.remove_prefix(1);
  }
  return {};
}

ChunkDecoder::State ChunkDecoder::count_extension(State next) {
  extension_bytes_++;
  extension_bytes_total_++;
  const bool too_long =
      extension_bytes_ > kExtensionBytesMax || extension_bytes_total_ > kExtensionBytesTotalMax;
  return too_long ? State::failed : next;
}

ChunkDecoder::State ChunkDecoder::step(char c) {
  switch (state_) {
    case State::size_first:
      left_ = 0;
      digits_ = 0;
      extension_bytes_ = 0;
      if (hex_value(c) < 0) return State::failed;
      [[fallthrough]];
    case State::size:
      if (const int value = hex_value(c); value >= 0) {
        left_ = left_ << 4 | static_cast<uint64_t>(value);
        return ++digits_ > 16 ? State::failed : State::size;
      }
      if (c == '\r') return State::size_lf;
      return c == ';' ? count_extension(State::extension) : State::failed;
    case State::extension:
      if (c == '\r') return State::size_lf;
      if (is_control(c)) return State::failed;
      return count_extension(c == '"' ? State::quoted : State::extension);
    case State::quoted:
      if (is_control(c)) return State::failed;
      if (c == '\\') return count_extension(State::quoted_pair);
      return count_extension(c == '"' ? State::extension : State::quoted);
    case State::quoted_pair:
      return is_control(c) ? State::failed : count_extension(State::quoted);
    case State::size_lf:
      if (c != '\n') return State::failed;
      return left_ == 0 ? State::trailer_start : State::data;
    case State::data_cr:
      return c == '\r' ? State::data_lf : State::failed;
    case State::data_lf:
      return c == '\n' ? State::size_first : State::failed;
    case State::trailer_start:
      if (c == '\r') return State::end_lf;
      [[fallthrough]];
    case State::trailer:
      if (++trailer_bytes_ > kTrailerBytesMax) return State::failed;
      if (c == '\r') return State::trailer_lf;
      return is_control(c) ? State::failed : State::trailer;
    case State::trailer_lf:
      return c == '\n' ? State::trailer_start : State::failed;
    case State::end_lf:
      return c == '\n' ? State::done : State::failed;
    case State::data:
    case State::done:
    case State::failed:
      break;
  }
  return state_;
}

std::string_view ChunkHead::of(uint64_t size) {
  char* end = std::to_chars(text_.data(), text_.data() + 16, size, 16).ptr;
  *end++ = '\r';
  *end++ = '\n';
  return {text_.data(), static_cast<size_t>(end - text_.data())};
}

}  // namespace om::http
