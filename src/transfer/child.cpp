#include "transfer/child.h"

namespace om::transfer {
namespace {

constexpr size_t kLastLinesMax = 6;
constexpr size_t kLineShownMax = 300;

std::string joined(const std::deque<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) {
    if (!text.empty()) text += " | ";
    text += line.substr(0, kLineShownMax);
  }
  return text;
}

}  // namespace

io::Task<Result<void>> run_child(io::World& world, io::SpawnOptions options, LineSink lines,
                                 io::Call call) {
  const std::string program = options.argv.front();
  CO_TRY(const auto child, world.processes.spawn(std::move(options)));
  std::deque<std::string> last;
  while (true) {
    // Leaving this function for any reason destroys the child, which kills it.
    CO_TRY(auto line, co_await child->read_line(call));
    if (!line) break;
    if (!line->empty()) last.push_back(*line);
    if (last.size() > kLastLinesMax) last.pop_front();
    if (lines) CO_TRY_VOID(co_await lines(std::move(*line)));
  }
  CO_TRY(const auto status, co_await child->wait(call));
  if (status.code == 0 && status.signal == 0) co_return Result<void>{};
  co_return fail(Errc::internal, "{} failed ({}): {}", program.substr(program.rfind('/') + 1),
                 status.str(), joined(last));
}

}  // namespace om::transfer
