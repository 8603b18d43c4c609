#include "engine/split/split_engine.h"

#include "base/log.h"
#include "engine/split/part_engine.h"

namespace om::engine {

SplitEngine::SplitEngine(io::World& world, PartSource& source, LaunchOptions options,
                         std::shared_ptr<GrammarProbe> probe, std::shared_ptr<RunnerPaces> paces)
    : world_(world),
      source_(source),
      options_(std::move(options)),
      probe_(std::move(probe)),
      paces_(std::move(paces)),
      tasks_(world.executor, world.clock) {}

SplitEngine::~SplitEngine() = default;

io::Task<Result<void>> SplitEngine::load(io::Call call) {
  auto loaded = co_await take_parts(call);
  if (loaded) {
    main_ = std::make_unique<LocalEngine>(world_, options_, probe_, paces_);
    const io::OnCancel on_cancel(call.cancel, [this] { loading_.cancel(); });
    loaded = co_await main_->load({call.deadline, loading_.token()});
    if (!loaded && lost_) loaded = fail(*lost_);
  }
  if (!loaded) {
    co_await stop();
    co_return loaded;
  }
  loaded_ = true;
  main_->on_death([this] {
    if (on_death_) std::exchange(on_death_, nullptr)();
  });
  co_return loaded;
}

io::Task<Result<void>> SplitEngine::take_parts(io::Call call) {
  options_.part_ports.clear();
  for (const PartShare& share : options_.parts) {
    Held& held = held_.emplace_back();
    auto part = co_await source_.take(share, options_.name, call);
    if (!part) {
      co_return fail(annotate(std::move(part).error(), "a part of the model on " + share.node));
    }
    held.part = std::move(*part);
    held.port = std::make_unique<TunnelPort>(world_, *held.part);
    CO_TRY(const uint16_t port, held.port->listen());
    options_.part_ports.push_back(port);
    tasks_.spawn(watch(*held.part, share.node));
    if (lost_) co_return fail(*lost_);
  }
  co_return Result<void>{};
}

io::Task<void> SplitEngine::watch(Part& part, std::string node) {
  Error error = co_await part.watch(tasks_.token());
  if (stopping_ || tasks_.token().cancelled()) co_return;
  lose(std::move(node), std::move(error));
}

void SplitEngine::lose(std::string node, Error error) {
  if (lost_) return;
  log_error("a part of a model was lost", field("model", options_.name), field("node", node),
            field("error", error));
  lost_ = Error{Errc::unavailable, fmt::format("the part of {} on node {} was lost: {}",
                                               options_.name, node, error.what)};
  loading_.cancel();
  if (loaded_) main_->condemn(lost_->what);
}

double SplitEngine::load_progress() const {
  if (loaded_) return 1;
  uint64_t wanted = 1, sent = 0;
  for (const PartShare& share : options_.parts) wanted += share.weights;
  for (const Held& held : held_) {
    if (held.port) sent += held.port->bytes_sent();
  }
  return std::min(0.99, static_cast<double>(sent) / static_cast<double>(wanted));
}

io::Task<void> SplitEngine::stop() {
  stopping_ = true;
  if (main_) co_await main_->stop();
  co_await tasks_.stop();
  while (!held_.empty()) {
    if (held_.back().port) co_await held_.back().port->stop();
    held_.pop_back();
  }
}

io::Task<Result<std::unique_ptr<Completion>>> SplitEngine::complete(CompletionRequest request,
                                                                    io::Call call) {
  return main_->complete(std::move(request), std::move(call));
}

io::Task<Result<EmbeddingResult>> SplitEngine::embed(std::vector<Token> tokens, bool normalize,
                                                     io::Call call) {
  return main_->embed(std::move(tokens), normalize, std::move(call));
}

io::Task<Result<std::vector<Token>>> SplitEngine::tokenize(std::string text, bool add_special,
                                                           io::Call call) {
  return main_->tokenize(std::move(text), add_special, std::move(call));
}

io::Task<Result<std::string>> SplitEngine::detokenize(std::vector<Token> tokens, io::Call call) {
  return main_->detokenize(std::move(tokens), std::move(call));
}

EngineFactory node_engines(io::World& world, PartSource& source) {
  auto probe = std::make_shared<GrammarProbe>();
  auto paces = std::make_shared<RunnerPaces>();
  return [&world, &source, probe, paces](LaunchOptions options) -> std::unique_ptr<LoadableEngine> {
    if (options.is_part) return std::make_unique<PartEngine>(world, std::move(options));
    if (options.parts.empty()) {
      return std::make_unique<LocalEngine>(world, std::move(options), probe, paces);
    }
    return std::make_unique<SplitEngine>(world, source, std::move(options), probe, paces);
  };
}

}  // namespace om::engine
