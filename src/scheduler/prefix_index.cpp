#include "scheduler/prefix_index.h"

#include <algorithm>

#include "base/check.h"

namespace om::scheduler {
namespace {

constexpr double kLearnWeight = 0.15;
constexpr size_t kRunnerLimitMin = 64;
// A block used again this soon keeps its place: moving it would cost more than the order is worth.
constexpr std::chrono::seconds kTouchEvery{5};
// Holders of one block looked at in a walk: a system prompt may be warm on thousands of nodes.
constexpr size_t kHoldersScannedMax = 64;

// The last of 1..high for which `holds`, as it does for all before it; 0: none. Asks only where the
// guess ends if it is right, and at 1 if there is none.
size_t last_of(size_t high, size_t guess, auto holds) {
  size_t low = 0;
  if (guess > 0 && guess <= high && holds(guess)) low = guess;
  if (low < high && !holds(low + 1)) return low;
  while (low < high) {
    const size_t middle = (low + high + 1) / 2;
    if (holds(middle)) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

}  // namespace

void Warmth::set_wait(io::Duration wait, io::TimePoint now) {
  timing = kTimings - 1;
  if (ready <= now || wait >= ready - now) return;
  timing = static_cast<size_t>(wait * (kTimings - 1) / (ready - now));
}

PrefixIndex::PrefixIndex(Limits limits) : limits_(limits), blocks_max_(limits.blocks_max) {
  CHECK(limits.blocks_max >= PromptOutline::kBlocksMax && limits.blocks_max < kNone);
  CHECK(limits.runner_blocks_max >= kRunnerLimitMin);
}

void PrefixIndex::expect_nodes(size_t nodes) {
  blocks_max_ = std::max(blocks_max_, std::min(nodes * kBlocksPerNode, kBlocksMost));
}

uint64_t PrefixIndex::pair_key(uint64_t a, uint64_t b) {
  const auto product =
      static_cast<unsigned __int128>(a ^ 0x9e3779b97f4a7c15) * ((b << 1 | 1) * 0xa0761d6478bd642f);
  return static_cast<uint64_t>(product >> 64) ^ static_cast<uint64_t>(product);
}

uint32_t PrefixIndex::find_runner(NodeNumber node, uint64_t model) const {
  if (node >= runners_of_.size()) return kNone;
  const std::vector<NamedRunner>& list = runners_of_[node];
  const auto found = std::ranges::find(list, model, &NamedRunner::model);
  return found == list.end() ? kNone : found->number;
}

uint32_t PrefixIndex::open_runner(NodeNumber node, uint64_t model) {
  if (const uint32_t known = find_runner(node, model); known != kNone) return known;
  if (runners_.size() - free_runners_.size() >= blocks_max_) make_runner_room();
  uint32_t number = 0;
  if (free_runners_.empty()) {
    number = static_cast<uint32_t>(runners_.size());
    runners_.emplace_back();
  } else {
    number = free_runners_.back();
    free_runners_.pop_back();
  }
  runners_[number] =
      Runner{.node = node, .model = model, .limit = limits_.runner_blocks_max, .alive = true};
  if (node >= runners_of_.size()) runners_of_.resize(node + 1);
  runners_of_[node].push_back({model, number});
  return number;
}

void PrefixIndex::make_runner_room() {
  for (uint32_t number = 0; number < runners_.size(); number++) {
    if (runners_[number].alive && runners_[number].count == 0) drop_runner(number);
  }
  if (runners_.size() - free_runners_.size() >= blocks_max_) {
    drop_runner(holdings_[oldest_].runner);
  }
}

uint32_t PrefixIndex::find_holding(uint32_t runner, uint64_t block) const {
  const auto found = holding_of_.find(pair_key(block, runner));
  if (found == holding_of_.end()) return kNone;
  const Holding& holding = holdings_[found->second];
  return holding.runner == runner && holding.block == block ? found->second : kNone;
}

void PrefixIndex::link_front(uint32_t number) {
  Holding& holding = holdings_[number];
  Runner& runner = runners_[holding.runner];
  holding.newer = holding.runner_newer = holding.block_newer = kNone;
  holding.older = newest_;
  (newest_ == kNone ? oldest_ : holdings_[newest_].newer) = number;
  newest_ = number;
  holding.runner_older = runner.newest;
  (runner.newest == kNone ? runner.oldest : holdings_[runner.newest].runner_newer) = number;
  runner.newest = number;
  runner.count++;
  Holders& holders = holders_[holding.block];
  holding.block_older = holders.newest;
  if (holders.newest != kNone) holdings_[holders.newest].block_newer = number;
  holders.newest = number;
  holders.count++;
}

void PrefixIndex::unlink(uint32_t number) {
  Holding& holding = holdings_[number];
  Runner& runner = runners_[holding.runner];
  (holding.newer == kNone ? newest_ : holdings_[holding.newer].older) = holding.older;
  (holding.older == kNone ? oldest_ : holdings_[holding.older].newer) = holding.newer;
  (holding.runner_newer == kNone ? runner.newest : holdings_[holding.runner_newer].runner_older) =
      holding.runner_older;
  (holding.runner_older == kNone ? runner.oldest : holdings_[holding.runner_older].runner_newer) =
      holding.runner_newer;
  runner.count--;
  const auto holders = holders_.find(holding.block);
  CHECK(holders != holders_.end());
  (holding.block_newer == kNone ? holders->second.newest
                                : holdings_[holding.block_newer].block_older) = holding.block_older;
  if (holding.block_older != kNone)
    holdings_[holding.block_older].block_newer = holding.block_newer;
  if (--holders->second.count == 0) holders_.erase(holders);
}

void PrefixIndex::touch(uint32_t runner, uint64_t block, bool settled, io::TimePoint ready,
                        io::TimePoint now) {
  uint32_t number = find_holding(runner, block);
  if (number != kNone) {
    holdings_[number].settled |= settled;
    if (now - holdings_[number].used < kTouchEvery) return;
    unlink(number);
  } else {
    while (used_ >= blocks_max_) drop(oldest_);
    while (runners_[runner].count >= runners_[runner].limit) drop(runners_[runner].oldest);
    const uint64_t key = pair_key(block, runner);
    if (const auto other = holding_of_.find(key); other != holding_of_.end()) drop(other->second);
    if (free_holdings_.empty()) {
      number = static_cast<uint32_t>(holdings_.size());
      holdings_.emplace_back();
    } else {
      number = free_holdings_.back();
      free_holdings_.pop_back();
    }
    holdings_[number] = Holding{.block = block, .runner = runner, .ready = ready};
    holding_of_[key] = number;
    used_++;
  }
  holdings_[number].used = now;
  holdings_[number].settled |= settled;
  link_front(number);
}

void PrefixIndex::drop(uint32_t number) {
  unlink(number);
  const Holding& holding = holdings_[number];
  holding_of_.erase(pair_key(holding.block, holding.runner));
  holdings_[number].runner = kNone;
  free_holdings_.push_back(number);
  used_--;
}

void PrefixIndex::drop_runner(uint32_t number) {
  while (runners_[number].oldest != kNone) drop(runners_[number].oldest);
  Runner& runner = runners_[number];
  std::erase_if(runners_of_[runner.node],
                [&](const NamedRunner& named) { return named.number == number; });
  runner.alive = false;
  free_runners_.push_back(number);
}

void PrefixIndex::take(uint32_t runner, const PromptOutline& outline, bool settled,
                       io::TimePoint ready, io::TimePoint now) {
  while (oldest_ != kNone && now - holdings_[oldest_].used > limits_.ttl) drop(oldest_);
  // From the end, so that the beginning is the most recent: what goes first is a prompt's end.
  const size_t count = std::min(outline.blocks.size(), runners_[runner].limit);
  for (size_t i = count; i-- > 0;) touch(runner, outline.blocks[i], settled, ready, now);
}

uint32_t PrefixIndex::borrow(uint32_t runner, const PromptOutline& outline, io::TimePoint ready,
                             io::TimePoint now) {
  uint32_t borrowed = 0;
  for (const uint64_t block : outline.blocks) {
    const uint32_t number = find_holding(runner, block);
    if (number == kNone || !is_free(holdings_[number])) break;
    Holding& holding = holdings_[number];
    holding.borrowed++;
    holding.ready = holding.ready <= now ? ready : std::min(holding.ready, ready);
    borrowed++;
  }
  return borrowed;
}

uint32_t PrefixIndex::assume(NodeNumber node, const PromptOutline& outline, io::TimePoint ready,
                             io::TimePoint now) {
  if (outline.blocks.empty()) return 0;
  const uint32_t runner = open_runner(node, outline.model);
  const uint32_t borrowed = borrow(runner, outline, ready, now);
  take(runner, outline, false, ready, now);
  return borrowed;
}

void PrefixIndex::give_back(NodeNumber node, const PromptOutline& outline, uint32_t borrowed) {
  const uint32_t runner = find_runner(node, outline.model);
  if (runner == kNone) return;
  for (size_t i = 0; i < std::min<size_t>(borrowed, outline.blocks.size()); i++) {
    const uint32_t number = find_holding(runner, outline.blocks[i]);
    // It may have been forgotten meanwhile.
    if (number != kNone && holdings_[number].borrowed > 0) holdings_[number].borrowed--;
  }
}

// What was neither hoped for nor found was evaluated, into a copy more.
void PrefixIndex::count_copies(uint32_t runner, const PromptOutline& outline, size_t hoped,
                               size_t found) {
  const bool was_there = 2 * found >= hoped;  // As far as bytes tell of tokens.
  for (size_t i = 0; i < outline.blocks.size(); i++) {
    const uint32_t number = find_holding(runner, outline.blocks[i]);
    if (number == kNone) continue;
    Holding& holding = holdings_[number];
    int copies = holding.copies;
    const int least = holding.borrowed + 1;
    if (i >= std::max(hoped, found)) {
      copies = std::max(copies + 1, least);
    } else if (was_there) {
      copies = std::max(copies, least);
    } else if (i >= found) {
      copies = least;
    }
    holding.copies = static_cast<uint8_t>(std::min(copies, UINT8_MAX));
  }
}

void PrefixIndex::correct(NodeNumber node, const PromptOutline& outline, Warmth expected,
                          int64_t cached_tokens, int64_t prompt_tokens, io::TimePoint now) {
  if (outline.blocks.empty() || prompt_tokens <= 0) return;
  const uint32_t number = open_runner(node, outline.model);
  const double share =
      std::clamp(static_cast<double>(cached_tokens) / static_cast<double>(prompt_tokens), 0.0, 1.0);
  const double found_bytes = share * static_cast<double>(outline.bytes);
  learn(runners_[number], outline, expected, found_bytes);
  while (runners_[number].count > runners_[number].limit) drop(runners_[number].oldest);
  take(number, outline, true, now, now);
  count_copies(number, outline, expected.settled,
               PromptOutline::blocks_in(static_cast<size_t>(found_bytes)));
}

void PrefixIndex::learn(Runner& runner, const PromptOutline& outline, Warmth expected,
                        double found_bytes) {
  const auto settled = static_cast<double>(PromptOutline::bytes_of(expected.settled));
  const auto hoped = static_cast<double>(PromptOutline::bytes_of(expected.blocks)) - settled;
  if (settled > 0) {
    const double truth = std::min(1.0, found_bytes / settled);
    runner.trust += kLearnWeight * (truth - runner.trust);
    // Less was cached than was there: the cache holds fewer blocks than are listed here.
    if (truth < 0.5) {
      runner.limit = std::max(kRunnerLimitMin, runner.count * 3 / 4);
    } else if (truth > 0.9) {
      runner.limit = std::min(limits_.runner_blocks_max, runner.limit + outline.blocks.size());
    }
  }
  if (hoped > 0) {
    const double truth = std::clamp((found_bytes - settled) / hoped, 0.0, 1.0);
    double& trust = timing_trust_[expected.timing];
    trust += kLearnWeight * (truth - trust);
  }
}

Warmth PrefixIndex::warmth(NodeNumber node, const PromptOutline& outline, Warmth guess) const {
  Warmth warmth;
  const uint32_t runner = find_runner(node, outline.model);
  if (runner == kNone || outline.blocks.empty()) return warmth;
  const auto holding = [&](size_t blocks) -> const Holding* {
    const uint32_t number = find_holding(runner, outline.blocks[blocks - 1]);
    return number == kNone ? nullptr : &holdings_[number];
  };
  // By key alone: that of two pairs is the same once in 2^64, and an estimate is all that is lost.
  const auto is_held = [&](size_t blocks) {
    return holding_of_.contains(pair_key(outline.blocks[blocks - 1], runner));
  };
  const auto is_settled = [&](size_t blocks) {
    const Holding* found = holding(blocks);
    return found != nullptr && is_free(*found);
  };
  // Whoever holds a block holds those before it, so halving finds the last one; where one of them
  // was dropped because it kept its place (kTouchEvery), what lies behind the gap may not count.
  size_t all = last_of(outline.blocks.size(), guess.blocks, is_held);
  const size_t settled = last_of(all, guess.blocks == all ? guess.settled : all, is_settled);
  if (all > settled) {
    if (const Holding* next = holding(settled + 1)) {
      warmth.ready = next->ready;
    } else {
      all = settled;
    }
  }
  warmth.blocks = static_cast<uint32_t>(all);
  warmth.settled = static_cast<uint32_t>(settled);
  return warmth;
}

double PrefixIndex::expected_share(NodeNumber node, const PromptOutline& outline,
                                   Warmth warm) const {
  if (outline.bytes == 0 || warm.blocks == 0) return 0;
  const uint32_t number = find_runner(node, outline.model);
  if (number == kNone) return 0;
  const Runner& runner = runners_[number];
  const auto settled = static_cast<double>(PromptOutline::bytes_of(warm.settled));
  const auto all = static_cast<double>(PromptOutline::bytes_of(warm.blocks));
  const double bytes = settled * runner.trust + (all - settled) * (timing_trust_[warm.timing]);
  return std::min(1.0, bytes / static_cast<double>(outline.bytes));
}

std::vector<PrefixIndex::Match> PrefixIndex::match(const PromptOutline& outline,
                                                   size_t nodes_max) const {
  std::vector<Match> found;
  size_t low = 0, high = outline.blocks.size();
  while (low < high) {
    const size_t middle = (low + high + 1) / 2;
    if (holders_.contains(outline.blocks[middle - 1])) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  size_t listed = 0;  // Holders of the block after this one: all of them are in `found`.
  for (size_t depth = low; depth > 0 && found.size() < nodes_max; depth--) {
    const auto holders = holders_.find(outline.blocks[depth - 1]);
    if (holders == holders_.end() || holders->second.count == listed) continue;
    listed = holders->second.count;
    size_t scanned = 0;
    for (uint32_t number = holders->second.newest;
         number != kNone && found.size() < nodes_max && scanned < kHoldersScannedMax;
         number = holdings_[number].block_older, scanned++) {
      const NodeNumber node = runners_[holdings_[number].runner].node;
      if (std::ranges::find(found, node, &Match::node) != found.end()) continue;
      found.push_back({node, static_cast<uint32_t>(depth)});
    }
  }
  return found;
}

size_t PrefixIndex::blocks_of(NodeNumber node, uint64_t model) const {
  const uint32_t number = find_runner(node, model);
  return number == kNone ? 0 : runners_[number].count;
}

void PrefixIndex::forget(NodeNumber node) {
  if (node >= runners_of_.size()) return;
  while (!runners_of_[node].empty()) drop_runner(runners_of_[node].back().number);
}

void PrefixIndex::forget(NodeNumber node, uint64_t model) {
  const uint32_t number = find_runner(node, model);
  if (number != kNone) drop_runner(number);
}

void PrefixIndex::check_invariant() const {
  CHECK(used_ <= blocks_max_ && used_ == holding_of_.size());
  CHECK(used_ + free_holdings_.size() == holdings_.size());
  size_t listed = 0, counted = 0, held = 0;
  for (uint32_t number = newest_; number != kNone; number = holdings_[number].older) {
    const Holding& holding = holdings_[number];
    CHECK(find_holding(holding.runner, holding.block) == number);
    CHECK(holding.older == kNone || holdings_[holding.older].used <= holding.used);
    listed++;
  }
  for (const Runner& runner : runners_) {
    if (!runner.alive) continue;
    size_t own = 0;
    for (uint32_t number = runner.newest; number != kNone;
         number = holdings_[number].runner_older) {
      own++;
    }
    CHECK(own == runner.count && own <= limits_.runner_blocks_max);
    counted += own;
  }
  for (const auto& [block, holders] : holders_) held += holders.count;
  CHECK(listed == used_ && counted == used_ && held == used_);
}

}  // namespace om::scheduler
