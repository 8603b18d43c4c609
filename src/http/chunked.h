// The chunked transfer coding of RFC 9112 section 7.1, as a scanner over whatever bytes arrive.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace om::http {

// Finds the body bytes between the framing. The result does not depend on how the input is cut.
// Strict where leniency has been used for request smuggling: sizes are 1 to 16 hex digits, lines
// end in CRLF, chunk extensions and trailers are bounded and ignored.
class ChunkDecoder {
 public:
  static constexpr size_t kExtensionBytesMax = 1024;        // In one chunk's line.
  static constexpr size_t kExtensionBytesTotalMax = 16384;  // In one body.
  static constexpr size_t kTrailerBytesMax = 8192;

  // Takes input up to and including the next piece of the body and answers that piece, a part of
  // `input`. Empty: all input was taken, or done(), or failed().
  std::string_view next(std::string_view& input);
  bool done() const { return state_ == State::done; }
  bool failed() const { return state_ == State::failed; }

 private:
  enum class State {
    size_first,
    size,
    extension,
    quoted,
    quoted_pair,
    size_lf,
    data,
    data_cr,
    data_lf,
    trailer_start,
    trailer,
    trailer_lf,
    end_lf,
    done,
    failed,
  };
  State step(char c);
  State count_extension(State next);

  State state_ = State::size_first;
  uint64_t left_ = 0;
  unsigned digits_ = 0;
  size_t extension_bytes_ = 0, extension_bytes_total_ = 0, trailer_bytes_ = 0;
};

// The line before a chunk of `size` bytes: hex digits and CRLF. Valid until the next call.
class ChunkHead {
 public:
  std::string_view of(uint64_t size);

 private:
  std::array<char, 20> text_;
};

}  // namespace om::http
