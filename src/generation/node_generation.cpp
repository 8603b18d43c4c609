#include "generation/node_generation.h"

#include <algorithm>
#include <limits>

#include "base/digest.h"
#include "base/json_fields.h"
#include "base/log.h"
#include "generation/metrics.h"
#include "generation/prompt_tokens.h"
#include "io/wall_time.h"
#include "model/capabilities.h"
#include "prompt/media.h"
#include "prompt/webp.h"

namespace om::generation {
namespace {

// An answer may be this many times as long as the context, as in Ollama.
constexpr int kOutputContextsMax = 10;

// The runner would fail on such an id, or speak of its own code.
Result<void> check_context(const std::vector<int>& context, const store::Model& model) {
  const int64_t size = model.gguf.vocabulary_size;
  for (const int token : context) {
    if (token >= 0 && (size <= 0 || token < size)) continue;
    return fail(Errc::invalid_argument,
                "context: {} is no token of {}; send the context of an earlier reply of this model",
                token, model.name.shortest());
  }
  return {};
}

// Whether an answer may go on past the context, by dropping its middle. DeepSeek 2's cannot.
bool may_shift(const model::RequestCommon& common, const store::Model& model) {
  return common.shift.value_or(model.gguf.architecture != "deepseek2");
}

// Tells a request apart by its content, so that one that kills runners can be refused.
class Fingerprint {
 public:
  explicit Fingerprint(const Digest& model) { hasher_.update(model.hex()); }
  void add(std::string_view text) {
    hasher_.update(fmt::format("{}:", text.size()));
    hasher_.update(text);
  }
  std::string finish() { return hasher_.finish().hex(); }

 private:
  Hasher hasher_;
};

std::string fingerprint(const store::Model& model, const model::ChatRequest& request) {
  Fingerprint print(model.digest);
  for (const model::Message& message : request.messages) {
    print.add(message.role);
    print.add(message.content);
    for (const std::string& image : message.images) print.add(image);
  }
  for (const boost::json::value& tool : request.tools) print.add(boost::json::serialize(tool));
  print.add(request.common.format.schema);
  return print.finish();
}

std::string fingerprint(const store::Model& model, const model::GenerateRequest& request) {
  Fingerprint print(model.digest);
  print.add(request.prompt);
  print.add(request.suffix);
  print.add(request.system);
  for (const std::string& image : request.images) print.add(image);
  print.add(request.common.format.schema);
  return print.finish();
}

// What the prompt begins with, as far as it is known before it is rendered.
scheduler::PromptOutline outline_of(const store::Model& model, const model::ChatRequest& request) {
  scheduler::OutlineBuilder builder(model.manifest.runner_key());
  for (const boost::json::value& tool : request.tools) builder.add(boost::json::serialize(tool));
  bool marked = false;
  for (const model::Message& message : request.messages) {
    builder.add(message.role);
    for (const std::string& image : message.images) builder.add(Digest::of(image).hex());
    builder.add(message.content);
    if (!marked && message.role == "user") {
      builder.mark_conversation();
      marked = true;
    }
  }
  return builder.finish();
}

scheduler::PromptOutline outline_of(const store::Model& model,
                                    const model::GenerateRequest& request) {
  scheduler::OutlineBuilder builder(model.manifest.runner_key());
  builder.add(request.system);
  for (const std::string& image : request.images) builder.add(Digest::of(image).hex());
  builder.add(request.prompt);
  return builder.finish();
}

bool has_images(const std::vector<model::Message>& messages) {
  return std::any_of(messages.begin(), messages.end(),
                     [](const model::Message& message) { return !message.images.empty(); });
}

// An image that a tool brings stays in the conversation: refused, it would end an agent's work for
// good. The model is told of it instead. One that a person sends to a model without eyes is a
// mistake that is told.
void tell_of_unseen_images(const store::Model& model, std::vector<model::Message>& messages) {
  if (model.can("vision") || model.can("audio")) return;
  for (model::Message& message : messages) {
    if (message.role != "tool" || message.images.empty()) continue;
    if (!message.content.empty()) message.content += '\n';
    message.content += "[an image that this model cannot see]";
    message.images.clear();
  }
}

// A model that has not read all it was sent answers as if it had forgotten it: its user is to learn
// why.
std::string note_left_out(const PreparedPrompt& prepared, const model::RequestCommon& common,
                          int context) {
  std::string told = left_out(prepared);
  if (told.empty()) return told;
  truncated.add();
  log_info("prompt too long for the context, a part is left out", field("id", common.id),
           field("model", common.model), field("context", context),
           field("tokens", prepared.token_count), field("left_out", told));
  return told;
}

// Generation tells load failures as errors of the server: clients must not take a model that
// cannot be loaded for a queue that is full.
Error acquire_error(Error error) {
  if (error.code == Errc::unavailable) error.code = Errc::internal;
  if (error.code == Errc::cancelled) error.what = "request canceled";
  return error;
}

// Ollama's -1 looks back over the whole context, and what is negative keeps all of the prompt. The
// runner knows counts only, and takes memory for them.
void bound_counts(model::Sampling& sampling, int context) {
  int& look_back = sampling.repeat_last_n;
  if (look_back < 0 || look_back > context) look_back = context;
  sampling.num_keep = std::clamp(sampling.num_keep, -1, context);
}

}  // namespace

std::unique_ptr<Generation> make_generation(io::World& world, store::Store& store,
                                            scheduler::Scheduler& scheduler,
                                            GenerationOptions options) {
  return std::make_unique<NodeGeneration>(world, store, scheduler, std::move(options));
}

Result<NodeGeneration::Job> NodeGeneration::begin(const model::RequestCommon& common,
                                                  ModelPointer model, Purpose purpose,
                                                  const std::string* own_template) {
  Job job;
  job.started = world_.clock.now();
  TRY_VOID(check_purpose(*model, common.model, purpose));
  const prompt::TemplateSource source =
      template_source(*model, own_template, options_.prefer_jinja);
  TRY(job.chat_template, templates_.get(source));
  const bool thinks = model->can("thinking") || job.chat_template->capabilities().thinking;
  TRY(job.think, settle_think(common.think, thinks, *model, common.model));
  TRY(job.options, merge_options(*model, common.options, options_.default_context));
  job.target = make_target(model, job.options.runner);
  job.acquire = make_acquire(common.keep_alive, common.standing);
  job.acquire.id = common.id;
  job.model = std::move(model);
  return job;
}

Result<NodeGeneration::Job> NodeGeneration::begin_chat(const model::ChatRequest& request) {
  TRY(ModelPointer model, find_model(store_, request.common.model, Purpose::chat));
  TRY(Job job, begin(request.common, std::move(model), Purpose::chat, nullptr));
  if (!request.tools.empty()) {
    TRY_VOID(require(job.chat_template->capabilities().tools, *job.model, "tools"));
  }
  job.acquire.fingerprint = fingerprint(*job.model, request);
  job.acquire.outline = outline_of(*job.model, request);
  return job;
}

Result<NodeGeneration::Job> NodeGeneration::begin_generate(const model::GenerateRequest& request) {
  TRY(ModelPointer model, find_model(store_, request.common.model, Purpose::generate));
  const bool own_parts =
      !request.template_text.empty() || !request.system.empty() || !request.context.empty();
  if (request.raw && own_parts) {
    return fail(Errc::invalid_argument, "raw mode does not support template, system, or context");
  }
  TRY_VOID(check_context(request.context, *model));
  const std::string* own_template =
      request.template_text.empty() ? nullptr : &request.template_text;
  if (!own_template && !request.suffix.empty() && model->template_text &&
      model::go_template_features(*model->template_text).insert) {
    own_template = &*model->template_text;  // No jinja has a place for a suffix.
  }
  TRY(Job job, begin(request.common, std::move(model), Purpose::generate, own_template));
  if (!request.suffix.empty()) {
    TRY_VOID(require(job.chat_template->capabilities().insert, *job.model, "insert"));
  }
  job.acquire.fingerprint = fingerprint(*job.model, request);
  job.acquire.outline = outline_of(*job.model, request);
  return job;
}

Result<void> NodeGeneration::check_media(const Job& job, bool has_images,
                                         const scheduler::Lease& lease) const {
  if (!has_images) return {};
  const auto& properties = const_cast<scheduler::Lease&>(lease).engine().properties();
  return require(!properties.media_marker.empty(), *job.model, "vision");
}

io::Task<Result<NodeGeneration::Leased>> NodeGeneration::acquire(Job& job, io::Call call) {
  scheduler::Target target = job.target;
  scheduler::AcquireOptions options = job.acquire;
  const io::TimePoint asked = world_.clock.now();
  auto lease = co_await scheduler_.acquire(std::move(target), std::move(options), std::move(call));
  if (!lease) co_return fail(acquire_error(std::move(lease).error()));
  Leased leased;
  leased.lease = std::move(*lease);
  const io::Duration waited = world_.clock.now() - asked - leased.lease->queue_time();
  leased.load = std::max(waited, leased.lease->load_time());
  leased.context = leased.lease->engine().properties().context_length;
  // A larger runner may serve a request for a smaller context.
  if (job.options.runner.num_ctx) {
    leased.context = std::min(leased.context, std::max(*job.options.runner.num_ctx, 4));
  }
  co_return leased;
}

PromptSetting NodeGeneration::setting_for(const Job& job, const Leased& leased,
                                          const model::RequestCommon& common) const {
  return PromptSetting{.model = *job.model,
                       .chat_template = *job.chat_template,
                       .engine = leased.lease->engine(),
                       .options = job.options,
                       .context = leased.context,
                       .truncate = common.truncate,
                       .shift = may_shift(common, *job.model),
                       .think = job.think,
                       .now_seconds = io::unix_seconds(world_.clock.wall_now())};
}

std::unique_ptr<Answer> NodeGeneration::fixed(model::Chunk chunk) const {
  return std::make_unique<FixedAnswer>(std::move(chunk), options_.node_name);
}

// Of any model: those for embeddings leave memory by the same requests.
Result<std::unique_ptr<Answer>> NodeGeneration::unload(const std::string& name, Purpose purpose) {
  TRY(const ModelPointer model, find_model(store_, name, purpose));
  scheduler_.unload(model->manifest.runner_key());
  model::Chunk chunk;
  chunk.done = true;
  chunk.reason = model::DoneReason::unload;
  return fixed(std::move(chunk));
}

io::Task<Result<std::unique_ptr<Answer>>> NodeGeneration::load_only(Job job, io::Call call) {
  CO_TRY(Leased leased, co_await acquire(job, std::move(call)));
  model::Chunk chunk;
  chunk.done = true;
  chunk.reason = model::DoneReason::load;
  std::string node(leased.lease->node());
  if (node.empty()) node = options_.node_name;
  co_return std::make_unique<FixedAnswer>(std::move(chunk), std::move(node));
}

io::Task<Result<std::unique_ptr<Answer>>> NodeGeneration::run(Job job, Leased leased,
                                                              PreparedPrompt prepared,
                                                              model::RequestCommon common,
                                                              bool want_context, io::Call call) {
  if (common.debug_render_only) {
    model::Chunk chunk;
    chunk.done = true;
    chunk.rendered_prompt = prompt::with_named_media(
        std::move(prepared.rendered.prompt), leased.lease->engine().properties().media_marker);
    co_return fixed(std::move(chunk));
  }
  RunPlan plan;
  plan.left_out = note_left_out(prepared, common, leased.context);
  plan.started = job.started;
  plan.context = leased.context;
  plan.resume = options_.resume;
  plan.want_context = want_context;
  plan.one_call = prepared.one_call;
  // Only the request's own stop strings: clients are not told of those in the model's PARAMETERs.
  plan.caller_stops = JsonFields(common.options).texts("stop");
  plan.constraint = std::move(prepared.rendered.constraint);
  plan.format = std::move(prepared.rendered.answer);
  engine::CompletionRequest& request = plan.request;
  if (!prepared.media.empty()) {
    request.prompt = std::move(prepared.rendered.prompt);
    plan.media_marker = leased.lease->engine().properties().media_marker;
  }
  request.tokens = std::move(prepared.tokens);
  request.media = std::move(prepared.media);
  request.sampling = job.options.sampling;
  for (std::string& stop : prepared.rendered.stops) {
    request.sampling.stop.push_back(std::move(stop));
  }
  std::erase(request.sampling.stop, "");  // The runner would end at once.
  bound_counts(request.sampling, leased.context);
  plan.keep =
      keep_of(request.sampling.num_keep, *job.model, static_cast<int>(request.tokens.size()));
  const int output_max = kOutputContextsMax * leased.context;
  int& num_predict = request.sampling.num_predict;
  if (num_predict < 0 || num_predict > output_max) num_predict = output_max;
  request.id = common.id;
  request.logprobs = common.logprobs.enabled ? common.logprobs.top : -1;
  request.shift = may_shift(common, *job.model);
  if (!request.shift && !request.tokens.empty()) {
    const int room = leased.context - static_cast<int>(request.tokens.size());
    num_predict = std::min(num_predict, std::max(room, 1));
  }
  if (options_.records && !common.record.empty()) {
    plan.id_seed = std::hash<std::string>()(common.record) | 1;
    Records::Fits fits = [model = job.model->digest](std::string_view past) {
      return KeptPieces::fits(past, model);
    };
    CO_TRY(plan.recording, co_await options_.records->take(std::move(common.record),
                                                           std::move(common.record_fingerprint),
                                                           std::move(fits), call));
  }
  plan.target = std::move(job.target);
  plan.acquire = std::move(job.acquire);
  plan.load = leased.load;
  auto answer = std::make_unique<AnswerRun>(world_, scheduler_, std::move(plan),
                                            std::move(leased.lease), options_.node_name, call);
  CO_TRY_VOID(co_await answer->open());
  co_return std::unique_ptr<Answer>(std::move(answer));
}

// Counting tokens asks the runner already: one that dies under it is replaced, as one that dies
// before its first token is.
io::Task<Result<NodeGeneration::Ready>> NodeGeneration::make_ready(
    Job& job, const model::RequestCommon& common, bool has_media, PrepareFunction prepare,
    io::Call call) {
  RunnerBudget budget;
  while (true) {
    CO_TRY(Leased leased, co_await acquire(job, call));
    CO_TRY_VOID(check_media(job, has_media, *leased.lease));
    PromptSetting setting = setting_for(job, leased, common);
    auto prepared = co_await prepare(std::move(setting));
    if (prepared) co_return Ready{std::move(leased), std::move(*prepared)};
    if (prepared.error().code != Errc::unavailable) co_return fail(std::move(prepared).error());
    leased.lease->report_failure(prepared.error());
    if (!budget.spend(leased.lease->node_lost(), false)) {
      co_return fail(runner_stopped(prepared.error()));
    }
    retried.add();
  }
}

// Runners read no WebP.
io::Task<Result<void>> NodeGeneration::make_readable(std::vector<std::string>& images) {
  for (std::string& image : images) {
    if (!prompt::is_webp(image)) continue;
    auto read = [&image] { return prompt::png_of_webp(image); };
    CO_TRY(image, co_await world_.workers.run(std::move(read)));
  }
  co_return Result<void>{};
}

io::Task<Result<std::unique_ptr<Answer>>> NodeGeneration::chat(model::ChatRequest request,
                                                               io::Call call) {
  co_await learn(store_, request.common.model);
  if (request.asks_nothing()) {
    if (is_unload(request.common.keep_alive)) {
      co_return unload(request.common.model, Purpose::chat);
    }
    CO_TRY(Job job, begin_chat(request));
    co_return co_await load_only(std::move(job), std::move(call));
  }
  CO_TRY(Job job, begin_chat(request));
  tell_of_unseen_images(*job.model, request.messages);
  for (model::Message& message : request.messages) {
    CO_TRY_VOID(co_await make_readable(message.images));
  }
  PrepareFunction prepare = [&](PromptSetting setting) {
    return prepare_chat(std::move(setting), request, call);
  };
  CO_TRY(Ready ready, co_await make_ready(job, request.common, has_images(request.messages),
                                          std::move(prepare), call));
  co_return co_await run(std::move(job), std::move(ready.leased), std::move(ready.prepared),
                         std::move(request.common), false, std::move(call));
}

io::Task<Result<std::unique_ptr<Answer>>> NodeGeneration::generate(model::GenerateRequest request,
                                                                   io::Call call) {
  co_await learn(store_, request.common.model);
  if (request.asks_nothing() && is_unload(request.common.keep_alive)) {
    co_return unload(request.common.model, Purpose::generate);
  }
  CO_TRY(Job job, begin_generate(request));
  if (request.asks_nothing()) co_return co_await load_only(std::move(job), std::move(call));
  CO_TRY_VOID(co_await make_readable(request.images));
  PrepareFunction prepare = [&](PromptSetting setting) {
    return prepare_generate(std::move(setting), request, call);
  };
  CO_TRY(Ready ready, co_await make_ready(job, request.common, !request.images.empty(),
                                          std::move(prepare), call));
  co_return co_await run(std::move(job), std::move(ready.leased), std::move(ready.prepared),
                         std::move(request.common), !request.raw, std::move(call));
}

io::Task<Result<int64_t>> NodeGeneration::count_tokens(model::ChatRequest request, io::Call call) {
  request.common.truncate = false;
  co_await learn(store_, request.common.model);
  CO_TRY(Job job, begin_chat(request));
  if (request.messages.empty()) {
    co_return fail(Errc::invalid_argument, "messages is required");
  }
  tell_of_unseen_images(*job.model, request.messages);
  PrepareFunction prepare = [&](PromptSetting setting) {
    setting.context = std::numeric_limits<int>::max();  // Counting only: any length will do.
    return prepare_chat(std::move(setting), request, call);
  };
  CO_TRY(const Ready ready, co_await make_ready(job, request.common, has_images(request.messages),
                                                std::move(prepare), call));
  co_return ready.prepared.token_count;
}

Result<Decision> NodeGeneration::dry_run(const Job& job) const {
  auto decision = scheduler_.dry_run(job.target, job.acquire);
  if (!decision) {
    return fail(Errc::unsupported, "this node does not tell what a request would cost");
  }
  return decision;
}

Result<Decision> NodeGeneration::dry_run(const model::ChatRequest& request) {
  TRY(const Job job, begin_chat(request));
  return dry_run(job);
}

Result<Decision> NodeGeneration::dry_run(const model::GenerateRequest& request) {
  TRY(const Job job, begin_generate(request));
  return dry_run(job);
}

}  // namespace om::generation
