// Each kind of memory pool against plain allocation doing the same work. The two sides take turns
// within one run, so that a busy machine slows both; the median of the rounds counts.
//
//   pools_bench [rounds]        prints one line a case: name, plain ns, pool ns, ratio
#include <fmt/format.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/memory/arena.h"
#include "base/memory/bounded_channel.h"
#include "base/memory/frame_pool.h"
#include "base/memory/io_buffers.h"
#include "base/memory/object_pool.h"

namespace {

using namespace om;

template <class T>
void keep(T&& value) {
  asm volatile("" : : "r,m"(value) : "memory");
}

struct Case {
  const char* name;
  size_t operations;  // In one call of a side.
  std::function<void()> plain;
  std::function<void()> pool;
};

double measure(const std::function<void()>& side, size_t operations) {
  const auto start = std::chrono::steady_clock::now();
  side();
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
  return took.count() / static_cast<double>(operations);
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

bool run(const Case& one, int rounds) {
  std::vector<double> plain, pool, ratios;
  measure(one.plain, one.operations);
  measure(one.pool, one.operations);
  for (int round = 0; round < rounds; round++) {
    // Who goes first changes, because the second finds the caches warm.
    if (round % 2 == 0) {
      plain.push_back(measure(one.plain, one.operations));
      pool.push_back(measure(one.pool, one.operations));
    } else {
      pool.push_back(measure(one.pool, one.operations));
      plain.push_back(measure(one.plain, one.operations));
    }
    ratios.push_back(plain.back() / pool.back());
  }
  fmt::print("{}\t{:.1f}\t{:.1f}\t{:.2f}\n", one.name, median(plain), median(pool), median(ratios));
  return median(ratios) > 1;
}

// The same series for both sides, without a random device.
class Series {
 public:
  uint32_t next(uint32_t bound) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<uint32_t>(state_ >> 33) % bound;
  }

 private:
  uint64_t state_ = 42;
};

constexpr size_t kStreams = 1000;  // As many blocks in flight as the program has streams.

// Takes and gives back blocks in an order of its own, `in_flight` at a time. Writes the first
// `touched` bytes, as a user would.
template <class Handle, class Get>
void churn(size_t operations, size_t in_flight, size_t touched, Get get) {
  Series series;
  std::vector<Handle> live(in_flight);
  for (size_t i = 0; i < operations; i++) {
    auto& slot = live[series.next(static_cast<uint32_t>(in_flight))];
    slot = Handle();
    slot = get(series);
    std::memset(slot.data(), static_cast<int>(i), touched);
    keep(slot.data());
  }
}

class PlainBuffer {
 public:
  PlainBuffer() = default;
  explicit PlainBuffer(size_t size) : data_(static_cast<char*>(std::malloc(size))) {}
  PlainBuffer(PlainBuffer&& other) noexcept : data_(std::exchange(other.data_, nullptr)) {}
  PlainBuffer& operator=(PlainBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    return *this;
  }
  ~PlainBuffer() { std::free(data_); }
  char* data() { return data_; }

 private:
  char* data_ = nullptr;
};

Case buffers(const char* name, size_t size, size_t in_flight, size_t operations) {
  static IoBufferPool pool(256 << 20, "bench_buffers");
  return {name, operations,
          [=] {
            churn<PlainBuffer>(operations, in_flight, 1024,
                               [&](Series&) { return PlainBuffer(size); });
          },
          [=] {
            churn<IoBuffer>(operations, in_flight, 1024, [&](Series&) { return pool.get(size); });
          }};
}

const std::string& chat_request() {
  static const std::string text = [] {
    std::string out =
        R"({"model":"llama3","stream":true,"options":{"temperature":0.7},"messages":[)";
    for (int i = 0; i < 12; i++) {
      out += fmt::format(R"({}{{"role":"user","content":"message {} {}"}})", i ? "," : "", i,
                         std::string(120, 'x'));
    }
    return out + "]}";
  }();
  return text;
}

void parse_into(boost::json::storage_ptr storage) {
  boost::json::error_code error;
  const auto value = boost::json::parse(chat_request(), error, std::move(storage));
  keep(value.is_object());
}

Case json_arena() {
  constexpr size_t kOperations = 2000;
  static ArenaPool pool(ArenaPool::kHeldBytesMax, "bench_arenas");
  return {"arena: parse a 2 KiB chat request", kOperations,
          [] {
            for (size_t i = 0; i < kOperations; i++) parse_into({});
          },
          [] {
            for (size_t i = 0; i < kOperations; i++) {
              auto arena = pool.get();
              parse_into(arena->json_storage());
            }
          }};
}

Case string_arena() {
  constexpr size_t kOperations = 2000, kStrings = 60;
  static ArenaPool pool(ArenaPool::kHeldBytesMax, "bench_arenas");
  return {"arena: 60 strings of 20 to 500 bytes", kOperations,
          [] {
            Series series;
            for (size_t i = 0; i < kOperations; i++) {
              std::vector<std::string> strings;
              for (size_t j = 0; j < kStrings; j++)
                strings.emplace_back(20 + series.next(480), 'x');
              keep(strings.data());
            }
          },
          [] {
            Series series;
            for (size_t i = 0; i < kOperations; i++) {
              auto arena = pool.get();
              std::pmr::vector<std::pmr::string> strings(arena->resource());
              for (size_t j = 0; j < kStrings; j++)
                strings.emplace_back(20 + series.next(480), 'x');
              keep(strings.data());
            }
          }};
}

class Frame {
 public:
  Frame() = default;
  Frame(size_t size, bool pooled) : size_(size), pooled_(pooled) {
    data_ = pooled ? FramePool::of_this_thread().allocate(size) : ::operator new(size);
  }
  Frame(Frame&& other) noexcept { *this = std::move(other); }
  Frame& operator=(Frame&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(pooled_, other.pooled_);
    return *this;
  }
  ~Frame() {
    if (data_ == nullptr) return;
    if (pooled_) {
      FramePool::of_this_thread().deallocate(data_, size_);
    } else {
      ::operator delete(data_, size_);
    }
  }
  char* data() { return static_cast<char*>(data_); }

 private:
  void* data_ = nullptr;
  size_t size_ = 0;
  bool pooled_ = false;
};

Case frames(const char* name, uint32_t smallest, uint32_t spread, size_t in_flight) {
  constexpr size_t kOperations = 200'000;
  const auto side = [=](bool pooled) {
    churn<Frame>(kOperations, in_flight, 64,
                 [=](Series& series) { return Frame(smallest + series.next(spread), pooled); });
  };
  return {name, kOperations, [=] { side(false); }, [=] { side(true); }};
}

// What a connection's request parser keeps: a line buffer, header views, a body buffer.
struct Parser {
  std::string head;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;

  void use() {
    head.append(400, 'h');
    for (int i = 0; i < 12; i++)
      headers.emplace_back("x-some-header", "a value of some length here");
    body.append(2000, 'b');
    keep(body.data());
  }
  void reset() {
    head.clear();
    headers.clear();
    body.clear();
  }
  size_t memory_bytes() const {
    return sizeof(*this) + head.capacity() + body.capacity() +
           headers.capacity() * sizeof(headers[0]);
  }
};

Case parsers() {
  constexpr size_t kOperations = 20'000;
  static ObjectPool<Parser> pool("bench_parsers");
  return {"objects: request parser with 12 headers", kOperations,
          [] {
            for (size_t i = 0; i < kOperations; i++) std::make_unique<Parser>()->use();
          },
          [] {
            for (size_t i = 0; i < kOperations; i++) pool.get()->use();
          }};
}

// 1000 streams, each a queue that fills and drains a few chunks at a time.
Case channels(const char* name, size_t burst) {
  constexpr size_t kRounds = 20;
  static ChannelMemory<std::string> memory("bench_channels");
  return {name, kRounds * kStreams * burst,
          [=] {
            for (size_t round = 0; round < kRounds; round++) {
              std::vector<std::unique_ptr<std::deque<std::pair<std::string, size_t>>>> queues;
              for (size_t i = 0; i < kStreams; i++) {
                auto& queue = *queues.emplace_back(
                    std::make_unique<std::deque<std::pair<std::string, size_t>>>());
                for (size_t j = 0; j < burst; j++) {
                  std::string chunk("a token");  // A producer has the chunk in hand.
                  queue.emplace_back(std::move(chunk), 7);
                }
                while (!queue.empty()) {
                  // A consumer takes the item out: it awaits the write while the queue moves on.
                  const auto item = std::move(queue.front());
                  queue.pop_front();
                  keep(item.first.data());
                }
              }
            }
          },
          [=] {
            for (size_t round = 0; round < kRounds; round++) {
              std::vector<std::unique_ptr<BoundedChannel<std::string>>> queues;
              for (size_t i = 0; i < kStreams; i++) {
                auto& queue = *queues.emplace_back(
                    std::make_unique<BoundedChannel<std::string>>(memory, 64 << 10));
                for (size_t j = 0; j < burst; j++) {
                  std::string chunk("a token");
                  queue.push(std::move(chunk), 7);
                }
                while (!queue.empty()) {
                  const auto item = queue.take();
                  keep(item.data());
                }
              }
            }
          }};
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::max(3, std::atoi(argv[1])) : 21;
  // The program always has worker threads, and an allocator takes its locks only then.
  std::mutex end;
  end.lock();
  std::jthread worker([&] { const std::lock_guard lock(end); });
  bool all_faster = true;
  const std::vector<Case> cases = {
      json_arena(),
      string_arena(),
      buffers("io buffers: 16 KiB, 1 in flight", 16 << 10, 1, 50'000),
      buffers("io buffers: 16 KiB, 1000 in flight", 16 << 10, kStreams, 50'000),
      buffers("io buffers: 64 KiB, 1000 in flight", 64 << 10, kStreams, 50'000),
      buffers("io buffers: 256 KiB, 1 in flight", 256 << 10, 1, 20'000),
      buffers("io buffers: 256 KiB, 64 in flight", 256 << 10, 64, 20'000),
      buffers("io buffers: 1 MiB, 16 in flight", 1 << 20, 16, 5'000),
      frames("frames: 100 to 1000 bytes, 1 in flight", 100, 900, 1),
      frames("frames: 100 to 1000 bytes, 1000 in flight", 100, 900, kStreams),
      frames("frames: 200 to 4000 bytes, 1000 in flight", 200, 3800, kStreams),
      parsers(),
      channels("channels: 1 chunk at a time", 1),
      channels("channels: 100 chunks at a time", 100),
  };
  for (const auto& one : cases) all_faster = run(one, rounds) && all_faster;
  end.unlock();
  return all_faster ? 0 : 1;
}
