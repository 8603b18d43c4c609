// How much a node is meant for a key: all who know both agree, and the node with the most wins
// (highest random weight hashing, Thaler and Ravishankar 1998).
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

namespace om {

inline uint64_t rendezvous(uint64_t key, std::string_view node) {
  uint64_t state = key ^ 0xcbf29ce484222325;
  for (char c : node) state = (state ^ static_cast<uint8_t>(c)) * 0x100000001b3;  // FNV-1a.
  state ^= state >> 32;
  state *= 0xd6e8feb86659fd93;  // FNV leaves the high bits of short names alike.
  return state ^ state >> 32;
}

// For a key of text, nodes agree that were built with one standard library.
inline uint64_t rendezvous(std::string_view key, std::string_view node) {
  return rendezvous(std::hash<std::string_view>()(key), node);
}

}  // namespace om
