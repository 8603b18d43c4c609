#include "sim/placement_lab/trace.h"

#include <algorithm>
#include <cmath>

#include "sim/random.h"

namespace om::lab {
namespace {

using std::chrono::duration_cast;

io::Duration seconds(double count) {
  return duration_cast<io::Duration>(std::chrono::duration<double>(count));
}

// Text of a length, told apart from any other text by its id.
struct Segment {
  uint64_t id = 0;
  int tokens = 0;
};

class TraceMaker {
 public:
  explicit TraceMaker(const TraceOptions& options)
      : options_(options), random_(options.seed * 7919 + static_cast<uint64_t>(options.kind)) {
    trace_.name = fmt::format("{}, {} nodes", to_string(options.kind), options.nodes);
    trace_.nodes.count = options.nodes;
    if (options.kind == TraceKind::slow_node) trace_.nodes.slow = 1;
    const size_t models = options.kind == TraceKind::mixed ? 12 : 1;
    for (size_t i = 0; i < models; i++) add_model(i);
  }

  Trace make() {
    switch (options_.kind) {
      case TraceKind::chat:
        conversations(std::max<size_t>(4, options_.nodes), 1200, 4000, 1);
        break;
      case TraceKind::slow_node:
        conversations(std::max<size_t>(4, options_.nodes), 600, 2000, 1);
        break;
      case TraceKind::tenants:
        // llm-d's shape: many customers, each with a long prefix of its own.
        conversations(options_.nodes * 6, 5000, 7000, 1);
        break;
      case TraceKind::mixed:
        conversations(options_.nodes * 2, 300, 1000, 0.45);
        break;
      case TraceKind::one_off:
        one_offs();
        break;
      case TraceKind::burst:
        bursts();
        break;
    }
    return std::move(trace_);
  }

 private:
  void add_model(size_t number) {
    LabModel model;
    model.name = fmt::format("m{}", number);
    model.weights = Digest::of(model.name);
    model.bytes = 4'000'000'000 + number % 4 * 2'000'000'000;
    trace_.models.push_back(std::move(model));
  }

  size_t count() const { return options_.nodes * options_.requests_per_node; }
  Segment fresh(int low, int high) { return {++last_id_, static_cast<int>(between(low, high))}; }
  double between(double low, double high) { return low + (high - low) * random_.unit(); }

  // Seconds to the next arrival, so that the nodes have `load` of the work they can do.
  double gap(double prompt_tokens, double output_tokens, double slots_used = 1) {
    const LabNodes& nodes = trace_.nodes;
    const double batch = nodes.slots;
    const double output_all = nodes.output_rate * batch / (1 + nodes.batch_slowdown * (batch - 1));
    const double work = prompt_tokens / nodes.prompt_rate + output_tokens / output_all;
    const double rate = options_.load * slots_used * static_cast<double>(nodes.count) / work;
    return -std::log(1 - random_.unit()) / rate;
  }

  size_t add(io::TimePoint arrives, size_t model, const std::vector<Segment>& segments,
             size_t first_user, int output_tokens, Segment answer) {
    LabRequest request;
    request.arrives = arrives;
    request.model = model;
    request.output_tokens = output_tokens;
    scheduler::OutlineBuilder outline(trace_.models[model].weights);
    uint64_t chain = model + 1;
    int carried = 0;
    const auto chunk_up = [&](const Segment& segment, std::vector<uint64_t>& chunks) {
      chain = (chain ^ segment.id) * 0x9e3779b97f4a7c15;
      for (carried += segment.tokens; carried >= kChunkTokens; carried -= kChunkTokens) {
        chain = (chain ^ chain >> 29) * 0xbf58476d1ce4e5b9 + 1;
        chunks.push_back(chain);
      }
    };
    for (size_t i = 0; i < segments.size(); i++) {
      chunk_up(segments[i], request.chunks);
      request.prompt_tokens += segments[i].tokens;
      outline.add(text_of(segments[i]));
      if (i == first_user) outline.mark_conversation();
    }
    chunk_up(answer, request.after);
    request.outline = outline.finish();
    trace_.requests.push_back(std::move(request));
    return trace_.requests.size() - 1;
  }

  // Four bytes a token, different for each segment from its first word on.
  static std::string text_of(const Segment& segment) {
    std::string text(static_cast<size_t>(segment.tokens) * 4, ' ');
    for (size_t i = 0; i + 8 <= text.size(); i += 8) {
      const uint64_t word = (segment.id + i) * 0x9e3779b97f4a7c15;
      std::memcpy(text.data() + i, &word, 8);
    }
    return text;
  }

  size_t popular(size_t count) {
    // Zipf-like: the k-th is asked for in proportion to 1 / k.
    const double most = std::log(static_cast<double>(count) + 1);
    return std::min(count - 1, static_cast<size_t>(std::exp(random_.unit() * most) - 1));
  }

  void conversations(size_t systems, int system_low, int system_high, double pace) {
    std::vector<Segment> prompts;
    for (size_t i = 0; i < systems; i++) prompts.push_back(fresh(system_low, system_high));
    io::TimePoint now = io::TimePoint(std::chrono::seconds(1000));
    while (trace_.requests.size() < count()) {
      const int turns = 1 + static_cast<int>(random_.below(6));
      const size_t model = popular(trace_.models.size());
      std::vector<Segment> segments{prompts[popular(prompts.size())]};
      size_t before = LabRequest::kNoNext;
      for (int turn = 0; turn < turns; turn++) {
        segments.push_back(fresh(20, 300));
        const Segment answer = fresh(50, 250);
        const size_t index =
            add(turn == 0 ? now : io::kNever, model, segments, 1, answer.tokens, answer);
        trace_.requests[index].think = seconds(between(2, 10));
        if (before != LabRequest::kNoNext) trace_.requests[before].next = index;
        before = index;
        segments.push_back(answer);
        now += seconds(gap((system_low + system_high) / 2.0 * 0.5 + 700, 150, pace));
      }
    }
  }

  void one_offs() {
    io::TimePoint now = io::TimePoint(std::chrono::seconds(1000));
    while (trace_.requests.size() < count()) {
      const int output = static_cast<int>(between(20, 300));
      const bool is_long = random_.chance(0.1);
      const Segment prompt = is_long ? fresh(4000, 8000) : fresh(50, 1500);
      add(now, 0, {prompt}, 0, output, fresh(output, output));
      now += seconds(gap(0.9 * 775 + 0.1 * 6000, 160));
    }
  }

  // Agents that ask many questions over one document at once.
  void bursts() {
    io::TimePoint now = io::TimePoint(std::chrono::seconds(1000));
    while (trace_.requests.size() < count()) {
      const Segment document = fresh(1500, 5000);
      const size_t size = 2 + random_.below(options_.nodes * 3 / 2 + 6);
      for (size_t i = 0; i < size; i++) {
        const int output = static_cast<int>(between(20, 200));
        add(now, 0, {document, fresh(20, 200)}, 1, output, fresh(output, output));
        now += seconds(gap(1600, 110));
      }
      // All at once, then a pause as long as their work.
      for (size_t i = 0; i < size; i++) {
        trace_.requests[trace_.requests.size() - 1 - i].arrives =
            now - std::chrono::milliseconds(3 * i);
      }
    }
  }

  const TraceOptions options_;
  sim::SimRandom random_;
  Trace trace_;
  uint64_t last_id_ = 0;
};

}  // namespace

std::string_view to_string(TraceKind kind) {
  switch (kind) {
    case TraceKind::chat:
      return "chat";
    case TraceKind::one_off:
      return "one-off";
    case TraceKind::burst:
      return "bursts";
    case TraceKind::mixed:
      return "mixed models";
    case TraceKind::slow_node:
      return "one slow node";
    case TraceKind::tenants:
      return "tenants";
  }
  return "";
}

Trace make_trace(const TraceOptions& options) { return TraceMaker(options).make(); }

}  // namespace om::lab
