#include "api/long_reply.h"

namespace om::api {
namespace {

// About a millisecond of writing. A worker may be busy for longer than that, and a single text is
// what a search waits for.
constexpr size_t kNumbersMax = 16'384;

}  // namespace

io::Task<std::string> write_reply(io::World& world, const model::Embedding& embedding,
                                  std::function<std::string()> write) {
  size_t numbers = 0;
  for (const std::vector<float>& vector : embedding.vectors) numbers += vector.size();
  if (numbers <= kNumbersMax) co_return write();
  co_return co_await world.workers.run(std::move(write));
}

}  // namespace om::api
