// Which prefixes of prompts are probably warm on which node: those that this gateway sent there,
// corrected by what the replies said was really cached.
//
// Approximate and bounded: the least recently used blocks go first, a prompt's last blocks before
// its first ones, and all blocks after Limits::ttl. Time is passed in; one per gateway, on the io
// thread.
#pragma once

#include <boost/unordered/unordered_flat_map.hpp>
#include <cstdint>
#include <vector>

#include "io/task.h"
#include "scheduler/prompt_outline.h"

namespace om::scheduler {

// A node's place in the ClusterIndex that goes with this index.
using NodeNumber = uint32_t;

// How much of an outline a node has. `settled` blocks were evaluated, as a reply told, and no
// request is at work on them. The others, up to `blocks`, belong to requests that still run; they
// help only if those requests end before this one's turn comes: `timing` says how likely that is.
struct Warmth {
  static constexpr size_t kTimings = 5;

  uint32_t blocks = 0, settled = 0;
  io::TimePoint ready{};  // When the first of those requests should end.
  size_t timing = 0;      // 0: this request's turn comes at once; kTimings - 1: after `ready`.

  void set_wait(io::Duration wait, io::TimePoint now);  // Sets `timing`.
};

// The index described above.
class PrefixIndex {
 public:
  struct Limits {
    size_t blocks_max = 1 << 18;  // Of all nodes of a small cluster; about 100 bytes each.
    size_t runner_blocks_max = 8192;
    io::Duration ttl = std::chrono::minutes(15);
  };
  struct Match {
    NodeNumber node = 0;
    uint32_t blocks = 0;
  };

  PrefixIndex() : PrefixIndex(Limits()) {}
  explicit PrefixIndex(Limits limits);

  // The nodes that have most of the outline, warmest first; of equals, the most recently used
  // first. At most `nodes_max`, and only nodes that have a block of it.
  std::vector<Match> match(const PromptOutline& outline, size_t nodes_max) const;
  // `guess`: another node's warmth; saves look-ups if this node has as much.
  Warmth warmth(NodeNumber node, const PromptOutline& outline, Warmth guess = {}) const;
  // The expected part of the outline's tokens that are warm on the node, 0..1: the warmth weighed
  // with how often such expectations came true so far.
  double expected_share(NodeNumber node, const PromptOutline& outline, Warmth warmth) const;

  // A request with this outline was just sent to the node and should end at `ready`; others with
  // the same start may be sent there too. The runner continues a cached copy, which no other
  // request can use meanwhile. Returns how many of the first blocks have one copy less until
  // give_back().
  uint32_t assume(NodeNumber node, const PromptOutline& outline, io::TimePoint ready,
                  io::TimePoint now);
  void give_back(NodeNumber node, const PromptOutline& outline, uint32_t borrowed);
  // The reply came: `cached_tokens` of `prompt_tokens` were not evaluated; `expected` is what was
  // expected when the request was sent. The whole prompt is now in the node's cache, in a copy of
  // its own if the request found none to continue.
  void correct(NodeNumber node, const PromptOutline& outline, Warmth expected,
               int64_t cached_tokens, int64_t prompt_tokens, io::TimePoint now);
  void forget(NodeNumber node);                  // All its runners ended.
  void forget(NodeNumber node, uint64_t model);  // This runner ended.

  // Lets the bound grow with the cluster, up to kBlocksMost: a large cluster answers more
  // conversations in a `ttl`, and a turn whose node was forgotten is evaluated from its start.
  void expect_nodes(size_t nodes);
  // Blocks listed of the node's runner.
  size_t blocks_of(NodeNumber node, uint64_t model) const;
  size_t size() const { return used_; }  // Blocks held, of all nodes together.
  // CHECKs that the lists, counts and bounds agree; for tests.
  void check_invariant() const;

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr size_t kBlocksPerNode = 128, kBlocksMost = 1 << 20;

  // One block of one runner. In three lists, each by last use: its runner's, all, its block's.
  struct Holding {
    uint64_t block = 0;
    uint32_t runner = kNone;
    bool settled = false;
    uint8_t copies = 0, borrowed = 0;
    io::TimePoint used{}, ready{};
    uint32_t runner_newer = kNone, runner_older = kNone;
    uint32_t newer = kNone, older = kNone;
    uint32_t block_newer = kNone, block_older = kNone;
  };
  struct Runner {
    NodeNumber node = 0;
    uint64_t model = 0;
    uint32_t newest = kNone, oldest = kNone;
    size_t count = 0;
    size_t limit = 0;  // Learned: about how many blocks the runner's cache really holds.
    double trust = 1;  // Share of settled blocks that was found cached.
    bool alive = false;
  };
  struct NamedRunner {
    uint64_t model = 0;
    uint32_t number = kNone;
  };
  struct Holders {
    uint32_t newest = kNone;
    uint32_t count = 0;
  };
  struct Mixed {
    using is_avalanching = void;
    size_t operator()(uint64_t key) const { return key; }
  };
  template <class Value>
  using Map = boost::unordered_flat_map<uint64_t, Value, Mixed>;

  static bool is_free(const Holding& holding) {
    return holding.settled && holding.copies > holding.borrowed;
  }
  static uint64_t pair_key(uint64_t a, uint64_t b);
  uint32_t find_runner(NodeNumber node, uint64_t model) const;
  uint32_t open_runner(NodeNumber node, uint64_t model);
  void make_runner_room();
  uint32_t find_holding(uint32_t runner, uint64_t block) const;
  void touch(uint32_t runner, uint64_t block, bool settled, io::TimePoint ready, io::TimePoint now);
  void drop(uint32_t holding);
  void drop_runner(uint32_t runner);
  void link_front(uint32_t holding);
  void unlink(uint32_t holding);
  void take(uint32_t runner, const PromptOutline& outline, bool settled, io::TimePoint ready,
            io::TimePoint now);
  uint32_t borrow(uint32_t runner, const PromptOutline& outline, io::TimePoint ready,
                  io::TimePoint now);
  void count_copies(uint32_t runner, const PromptOutline& outline, size_t hoped, size_t found);
  void learn(Runner& runner, const PromptOutline& outline, Warmth expected, double found_bytes);

  const Limits limits_;
  size_t blocks_max_;
  std::vector<Holding> holdings_;
  std::vector<uint32_t> free_holdings_;
  size_t used_ = 0;
  uint32_t newest_ = kNone, oldest_ = kNone;
  std::vector<Runner> runners_;
  std::vector<uint32_t> free_runners_;
  std::vector<std::vector<NamedRunner>> runners_of_;  // By node: numbers are dense, models few.
  Map<uint32_t> holding_of_;                          // By runner and block.
  Map<Holders> holders_;                              // By block.
  // Trust in blocks of requests that still run, by Warmth::timing.
  std::array<double, Warmth::kTimings> timing_trust_{0.05, 0.2, 0.4, 0.7, 0.95};
};

}  // namespace om::scheduler
