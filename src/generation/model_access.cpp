#include "generation/model_access.h"

#include <algorithm>

#include "base/log.h"
#include "model/memory_estimate.h"

namespace om::generation {
namespace {

std::string_view to_string(Purpose purpose) {
  switch (purpose) {
    case Purpose::chat:
      return "chat";
    case Purpose::generate:
      return "generate";
    case Purpose::embed:
      break;
  }
  return "embed";
}

std::unexpected<Error> unknown_model(std::string_view asked, Purpose purpose) {
  if (purpose == Purpose::embed) {
    return fail(Errc::not_found, "model \"{}\" not found, try pulling it first", asked);
  }
  return fail(Errc::not_found, "model '{}' not found", asked);
}

}  // namespace

io::Task<void> learn(store::Store& store, std::string asked) {
  const auto placed = model::split_place(asked);
  if (!placed || placed->place == model::Place::cloud) co_return;
  const auto name = model::Name::parse(placed->name);
  if (name) co_await store.learn(*name);
}

Result<ModelPointer> find_model(store::Store& store, std::string_view asked, Purpose purpose) {
  if (asked.empty()) {
    if (purpose == Purpose::generate) return unknown_model(asked, purpose);
    return fail(Errc::invalid_argument, "model is required");
  }
  TRY(const model::PlacedName placed, model::split_place(asked));
  if (placed.place == model::Place::cloud) {
    return fail(Errc::forbidden, "ollama cloud is disabled: remote model is unavailable");
  }
  TRY(const model::Name name, model::Name::parse(placed.name));
  Result<ModelPointer> model = store.load(name);
  if (!model && model.error().code == Errc::not_found) return unknown_model(asked, purpose);
  return model;
}

Result<void> check_purpose(const store::Model& model, std::string_view asked, Purpose purpose) {
  const bool embeds = model.can("embedding") || model.gguf.has_pooling;
  if (purpose == Purpose::embed) {
    if (embeds) return {};
    return fail(Errc::unsupported,
                "\"{}\" is not an embedding model: this server does not support embeddings of it",
                asked);
  }
  if (embeds && !model.can("completion")) {
    return fail(Errc::invalid_argument, "\"{}\" does not support {}", asked, to_string(purpose));
  }
  return {};
}

Result<void> require(bool supported, const store::Model& model, std::string_view capability) {
  if (supported) return {};
  return fail(Errc::invalid_argument, "{} does not support {}", model.name.str(), capability);
}

Result<model::Options> merge_options(const store::Model& model, const boost::json::object& request,
                                     int default_context) {
  model::Options options;
  TRY_VOID(options.apply(model.params));
  TRY_VOID(options.apply(request));
  if (!options.runner.num_ctx && default_context > 0) options.runner.num_ctx = default_context;
  for (const std::string& name : options.unknown) {
    log_warn("unknown option ignored", field("option", name),
             field("model", model.name.shortest()));
  }
  return options;
}

Result<model::Think> settle_think(const model::Think& asked, bool thinks, const store::Model& model,
                                  std::string_view name) {
  if (!asked.is_set) {
    if (!thinks) return asked;
    return model::Think{.is_set = true, .enabled = true, .level = {}};
  }
  if (asked.enabled && !thinks) {
    if (asked.if_able) return model::Think{};
    return fail(Errc::invalid_argument, "\"{}\" does not support thinking", name);
  }
  model::Think think = asked;
  const std::string& family = model.gguf.architecture;
  if (think.level == "max" && (family == "gptoss" || family == "gpt-oss")) think.level = "high";
  return think;
}

bool is_unload(const model::KeepAlive& keep_alive) {
  return keep_alive.duration && keep_alive.duration->count() == 0;
}

namespace {

// With one slot: as little as it can be run with. 0: its header tells too little.
uint64_t load_bytes(const scheduler::Target& target, const store::Model& model) {
  model::MemoryPlan plan;
  plan.slots = 1;
  plan.context = target.runner.num_ctx.value_or(plan.context);
  if (target.trained_context > 0) plan.context = std::min(plan.context, target.trained_context);
  plan.embeddings = target.embedding;
  for (const scheduler::Target::File& file : target.files) {
    if (file.digest != target.weights) plan.projector_bytes += file.bytes;
  }
  const auto needs = model::estimate_memory(model.gguf, plan);
  return needs ? needs->total() : 0;
}

}  // namespace

scheduler::Target make_target(const ModelPointer& pointer, const model::RunnerOptions& runner) {
  const store::Model& model = *pointer;
  scheduler::Target target;
  target.name = model.name.shortest();
  target.manifest = model.digest;
  target.weights = model.weights;
  target.weights_path = model.weights_path;
  target.adapter_paths = model.adapter_paths;
  target.projector_paths = model.projector_paths;
  target.draft_path = model.draft_path;
  target.embedding = model.gguf.has_pooling;
  target.header = {pointer, &model.gguf};
  target.trained_context = static_cast<int>(model.gguf.context_length);
  for (const model::Layer& layer : model.manifest.layers) {
    const std::string_view kind = layer.kind();
    if (kind == "model" || kind == "projector" || kind == "adapter" || kind == "draft") {
      target.files.push_back({layer.digest, layer.size});
    }
  }
  target.runner = runner;
  target.load_bytes = load_bytes(target, model);
  return target;
}

scheduler::AcquireOptions make_acquire(const model::KeepAlive& keep_alive,
                                       const model::Standing& standing) {
  scheduler::AcquireOptions acquire;
  acquire.keep_alive = keep_alive;
  acquire.client = standing.key;
  acquire.weight = standing.weight;
  acquire.patience = standing.patience;
  if (standing.batch) acquire.priority = scheduler::Priority::batch;
  return acquire;
}

prompt::TemplateSource template_source(const store::Model& model, const std::string* own,
                                       bool prefer_jinja) {
  prompt::TemplateSource source;
  source.go = own ? *own : model.template_text.value_or("");
  source.go_required = own != nullptr;
  source.jinja = model.gguf.chat_template;
  source.jinja_tools = model.gguf.chat_template_tools;
  source.bos_token = model.gguf.bos_token;
  source.eos_token = model.gguf.eos_token;
  source.renderer = model.config.renderer;
  source.parser = model.config.parser;
  source.prefer_jinja = prefer_jinja;
  return source;
}

}  // namespace om::generation
