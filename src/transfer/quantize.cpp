#include "transfer/quantize.h"

#include "store/disk_space.h"
#include "transfer/child.h"

namespace om::transfer {
namespace {

constexpr uint64_t kFullBelow = 16 << 20;  // So little space left means that it ran out.

// Turns the child's lines into progress.
class QuantizeProgress {
 public:
  QuantizeProgress(const QuantizeJob& job, const ProgressSink& sink) : job_(job), sink_(sink) {}

  io::Task<Result<void>> take(std::string line) {
    const auto step = parse_quantize_line(line);
    if (!step) co_return Result<void>{};
    Progress progress;
    progress.status = job_.status;
    progress.digest = job_.digest;
    progress.total = job_.total;
    progress.completed =
        static_cast<uint64_t>(static_cast<double>(job_.total) * static_cast<double>(step->first) /
                              static_cast<double>(step->second));
    co_return co_await sink_(std::move(progress));
  }

 private:
  const QuantizeJob& job_;
  const ProgressSink& sink_;
};

std::optional<uint64_t> number_at(std::string_view& text) {
  const size_t start = text.find_first_not_of(' ');
  if (start == std::string_view::npos) return {};
  text.remove_prefix(start);
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{}) return {};
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return value;
}

}  // namespace

std::optional<std::pair<uint64_t, uint64_t>> parse_quantize_line(std::string_view line) {
  if (!line.starts_with('[')) return {};
  line.remove_prefix(1);
  const auto done = number_at(line);
  if (!done || !line.starts_with('/')) return {};
  line.remove_prefix(1);
  const auto total = number_at(line);
  if (!total || !line.starts_with(']') || *total == 0 || *done > *total) return {};
  return std::pair(*done, *total);
}

io::Task<Result<void>> quantize(Context& context, QuantizeJob job, const ProgressSink& sink,
                                io::Call call) {
  const std::string& program = context.options.quantize_program;
  if (program.empty() || !context.world.files.exists(program)) {
    co_return fail(Errc::unsupported, "llama-quantize is not installed ({}); run ./run build",
                   program.empty() ? "no path is configured" : program);
  }
  QuantizeProgress progress(job, sink);
  io::SpawnOptions options;
  options.argv = {program, "--allow-requantize", job.input, job.output, job.type};
  options.ends_first = true;  // Of what runs here, it is the easiest to ask for again.
  LineSink lines = [&progress](std::string line) { return progress.take(std::move(line)); };
  const auto done = co_await run_child(context.world, std::move(options), std::move(lines), call);
  if (done || done.error().code != Errc::internal) co_return done;
  const auto space = context.world.files.space(io::parent(job.output));
  if (space && space->available < kFullBelow) {
    co_return store::require_space(context.world.files, io::parent(job.output),
                                   std::max(job.total, kFullBelow));
  }
  co_return done;
}

}  // namespace om::transfer
