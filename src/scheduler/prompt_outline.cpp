#include "scheduler/prompt_outline.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/check.h"

namespace om::scheduler {
namespace {

constexpr size_t kBlockBytes = 256;
constexpr size_t kEqualBlocks = 64;  // So many have kBlockBytes; then sizes double every kStep.
constexpr size_t kStep = 32;
constexpr size_t kEqualBytes = kEqualBlocks * kBlockBytes;

constexpr double kTokensPerByte = 0.27;  // English in most vocabularies, templates included.
constexpr double kObservationWeight = 0.2;
constexpr size_t kObservedBytesMin = 64;  // Below, the template's own tokens weigh too much.

// Folded multiplication, as in wyhash (Wang Yi): cheap, and every bit of the input reaches every
// bit of the result.
uint64_t mix(uint64_t state, uint64_t word) {
  const auto product = static_cast<unsigned __int128>(state ^ word ^ 0x9e3779b97f4a7c15) *
                       (0xa0761d6478bd642f ^ std::rotl(state, 32));
  return static_cast<uint64_t>(product >> 64) ^ static_cast<uint64_t>(product);
}

}  // namespace

uint64_t model_key(const Digest& weights) { return std::hash<Digest>()(weights); }

size_t PromptOutline::bytes_of(size_t blocks) {
  if (blocks <= kEqualBlocks) return blocks * kBlockBytes;
  const size_t doublings = (blocks - kEqualBlocks) / kStep;
  const size_t rest = (blocks - kEqualBlocks) % kStep;
  return (kEqualBytes << doublings) + rest * (kEqualBytes << doublings) / kStep;
}

size_t PromptOutline::blocks_in(size_t bytes) {
  if (bytes < kEqualBytes) return bytes / kBlockBytes;
  const size_t doublings = std::bit_width(bytes / kEqualBytes) - 1;
  const size_t before = kEqualBytes << doublings;
  const size_t blocks = kEqualBlocks + doublings * kStep + (bytes - before) * kStep / before;
  return std::min(blocks, kBlocksMax);
}

OutlineBuilder::OutlineBuilder(const Digest& weights) {
  outline_.model = model_key(weights);
  state_ = mix(outline_.model, 0);
  block_end_ = PromptOutline::bytes_of(1);
}

void OutlineBuilder::add(std::string_view part) {
  take(part);
  take("\xff");  // Never a byte of UTF-8.
}

void OutlineBuilder::take(std::string_view text) {
  while (!text.empty()) {
    if (block_end_ == 0) {
      outline_.bytes += text.size();
      return;
    }
    if (word_bytes_ == 0 && text.size() >= sizeof(uint64_t)) {
      // Blocks are multiples of a word, so a word never crosses into the next block.
      const size_t room = std::min(block_end_ - outline_.bytes, text.size()) & ~size_t{7};
      for (size_t i = 0; i < room; i += sizeof(uint64_t)) {
        uint64_t word = 0;
        std::memcpy(&word, text.data() + i, sizeof(word));
        state_ = mix(state_, word);
      }
      outline_.bytes += room;
      text.remove_prefix(room);
    } else {
      word_[word_bytes_++] = text.front();
      outline_.bytes++;
      text.remove_prefix(1);
      if (word_bytes_ == word_.size()) mix_whole_words();
    }
    if (outline_.bytes != block_end_) continue;
    outline_.blocks.push_back(state_);
    const size_t count = outline_.blocks.size();
    block_end_ = count < PromptOutline::kBlocksMax ? PromptOutline::bytes_of(count + 1) : 0;
  }
}

void OutlineBuilder::mix_whole_words() {
  uint64_t word = 0;
  std::memcpy(&word, word_.data(), sizeof(word));
  state_ = mix(state_, word);
  word_bytes_ = 0;
}

void OutlineBuilder::mark_conversation() {
  uint64_t tail = 0;
  std::memcpy(&tail, word_.data(), word_bytes_);
  outline_.conversation = std::max<uint64_t>(1, mix(mix(state_, tail), word_bytes_));
}

double TokenRatio::tokens(uint64_t model, size_t bytes) const {
  const auto found = tokens_per_byte_.find(model);
  const double ratio = found == tokens_per_byte_.end() ? kTokensPerByte : found->second;
  return ratio * static_cast<double>(bytes);
}

void TokenRatio::observe(uint64_t model, size_t bytes, int64_t tokens) {
  if (bytes < kObservedBytesMin || tokens <= 0) return;
  const double ratio = static_cast<double>(tokens) / static_cast<double>(bytes);
  const auto found = tokens_per_byte_.find(model);
  if (found != tokens_per_byte_.end()) {
    found->second += kObservationWeight * (ratio - found->second);
    return;
  }
  // So many models at once mean that most are gone: learning anew takes one reply each.
  if (tokens_per_byte_.size() >= kModelsMax) tokens_per_byte_.clear();
  tokens_per_byte_.emplace(model, ratio);
}

}  // namespace om::scheduler
