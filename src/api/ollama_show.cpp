#include "api/json_output.h"
#include "api/ollama_handlers.h"
#include "api/ollama_reply.h"
#include "api/ollama_request.h"
#include "base/strings.h"
#include "generation/model_access.h"
#include "model/modelfile.h"
#include "model/options.h"
#include "prompt/render.h"
#include "store/gguf_file.h"

namespace om::api {
namespace {

struct ShowRequest {
  std::string model;
  std::optional<std::string> system;
  boost::json::object options;
  bool verbose = false;
};

constexpr std::chrono::seconds kElsewhereMax{5};  // For another server to tell of a model.

// What only the file's header tells.
struct HeaderFacts {
  boost::json::object model_info;
  boost::json::array tensors;
};

Result<ShowRequest> read_show_request(const boost::json::value& body) {
  ObjectReader reader("ShowRequest", body);
  ShowRequest request;
  request.model = read_model_name(reader);
  reader.read("system", request.system);
  reader.read("options", request.options);
  reader.read("verbose", request.verbose);
  TRY_VOID(reader.done());
  if (request.model.empty()) return fail(Errc::invalid_argument, "model is required");
  return request;
}

Result<HeaderFacts> read_header(io::Filesystem& files, const std::string& path, bool verbose) {
  TRY(const auto file, store::GgufFile::open(files, path));
  model::GgufOptions options;
  if (verbose) options.array_length_max = SIZE_MAX;
  TRY(const model::Gguf gguf, model::read_gguf(*file, options));
  HeaderFacts facts;
  facts.model_info = gguf.model_info(verbose);
  facts.tensors = gguf.tensor_list();
  return facts;
}

// What made it: a template that only its GGUF has is none of its own.
model::Modelfile modelfile_of(const store::Model& model) {
  model::Modelfile file;
  file.from.push_back(model.weights_path);
  file.from.insert(file.from.end(), model.projector_paths.begin(), model.projector_paths.end());
  file.adapters = model.adapter_paths;
  if (!model.draft_path.empty()) file.drafts.push_back(model.draft_path);
  file.template_text = model.template_text;
  if (!model.system.empty()) file.system = model.system;
  file.renderer = model.config.renderer;
  file.parser = model.config.parser;
  file.requires_version = model.config.requires_version;
  file.parameters = model.params;
  file.licenses = model.licenses;
  file.messages = model.messages;
  return file;
}

void write_messages(JsonWriter& writer, const std::vector<model::Message>& messages) {
  if (messages.empty()) return;
  writer.key("messages").begin_array();
  for (const model::Message& message : messages) {
    writer.begin_object();
    writer.member("role", std::string_view(message.role));
    writer.member("content", std::string_view(message.content));
    writer.end_object();
  }
  writer.end_array();
}

std::string write_show(const store::Model& model, const HeaderFacts& weights,
                       const std::optional<HeaderFacts>& projector, bool verbose) {
  const std::string template_text =
      prompt::chosen_text(generation::template_source(model, nullptr, false));
  const model::Modelfile file = modelfile_of(model);
  std::string reply;
  JsonWriter writer(reply);
  writer.begin_object();
  writer.member_if("license", join(model.licenses, "\n"));
  writer.member("modelfile", std::string_view(model::show_modelfile(file, model.name.shortest())));
  writer.member_if("parameters", model::parameters_text(model.params));
  writer.member_if("template", template_text);
  writer.member_if("system", model.system);
  writer.member_if("renderer", model.config.renderer);
  writer.member_if("parser", model.config.parser);
  write_details(writer, store::ModelDetails::of(model));
  write_messages(writer, model.messages);
  writer.key("model_info").value(boost::json::value(weights.model_info));
  if (projector) {
    writer.key("projector_info").value(boost::json::value(projector->model_info));
  }
  if (verbose) {
    writer.key("tensors").value(boost::json::value(weights.tensors));
  }
  write_list(writer, "capabilities", model.capabilities);
  writer.member("modified_at", std::string_view(format_time(model.modified)));
  writer.member_if("requires", model.config.requires_version);
  writer.end_object();
  return reply;
}

Result<store::Model> find_shown(store::Store& store, const ShowRequest& request) {
  TRY(const model::PlacedName placed, model::split_place(request.model));
  if (placed.place == model::Place::cloud) {
    return fail(Errc::forbidden, "ollama cloud is disabled: remote model details are unavailable");
  }
  TRY(const model::Name name, model::Name::parse(placed.name));
  auto found = store.load(name);
  if (!found && found.error().code == Errc::not_found) {
    return fail(Errc::not_found, "model '{}' not found", name.shortest());
  }
  if (!found) return fail(std::move(found).error());
  store::Model model = **found;
  // Clients send an empty one when they mean none.
  if (request.system && !request.system->empty()) model.system = *request.system;
  for (const auto& option : request.options) model.params[option.key()] = option.value();
  return model;
}

}  // namespace

namespace {

std::shared_ptr<engine::Backend> backend_of(const Dependencies& dependencies,
                                            const std::string& model) {
  if (!dependencies.backends) return nullptr;
  const auto servers = dependencies.backends->servers_of(model);
  return servers.empty() ? nullptr : servers.front();
}

// An Ollama tells itself; of others it is known only that they answer.
HandlerResult show_external(const Dependencies& dependencies, engine::Backend& backend,
                            const std::string& model, Context& context) {
  if (backend.kind() == engine::BackendKind::ollama) {
    const std::string body =
        boost::json::serialize(boost::json::object{{"model", backend.find(model)->name}});
    io::Call call = dependencies.world.clock.call_within(kElsewhereMax, context.request.cancel);
    CO_TRY(std::string told, co_await backend.fetch("POST", "/api/show", body, std::move(call)));
    co_return co_await context.send_json(std::move(told));
  }
  const boost::json::object details{{"parent_model", ""},   {"format", ""},
                                    {"family", ""},         {"families", nullptr},
                                    {"parameter_size", ""}, {"quantization_level", ""}};
  const std::string modified = format_time(backend.find(model)->modified);
  const boost::json::object reply{{"modelfile", "# answered by backend " + backend.spec().name},
                                  {"details", details},
                                  {"model_info", boost::json::object{}},
                                  {"modified_at", modified},
                                  {"capabilities", boost::json::array{"completion", "tools"}}};
  co_return co_await context.send_json(boost::json::serialize(reply));
}

}  // namespace

HandlerResult handle_show(const Dependencies& dependencies, Context& context) {
  CO_TRY(const auto body, co_await read_json(context, dependencies.settings.body_bytes_max));
  CO_TRY(const ShowRequest request, read_show_request(body));
  context.model = request.model;
  const auto backend = backend_of(dependencies, request.model);
  if (!backend) co_await generation::learn(dependencies.store, request.model);
  auto shown = find_shown(dependencies.store, request);
  if (!shown && shown.error().code == Errc::not_found && backend) {
    co_return co_await show_external(dependencies, *backend, request.model, context);
  }
  CO_TRY(const store::Model model, std::move(shown));
  io::Filesystem& files = dependencies.world.files;
  if (model.model_info && !files.exists(model.weights_path)) {
    // Another node has the files: the tensors' names are not known here.
    const HeaderFacts weights{*model.model_info, {}};
    std::optional<HeaderFacts> projector;
    if (model.projector_info) projector = HeaderFacts{*model.projector_info, {}};
    co_return co_await context.send_json(write_show(model, weights, projector, request.verbose));
  }
  // Headers of large vocabularies take a while to read.
  auto read = [&files, path = model.weights_path, verbose = request.verbose] {
    return read_header(files, path, verbose);
  };
  CO_TRY(const HeaderFacts weights, co_await dependencies.world.workers.run(read));
  std::optional<HeaderFacts> projector;
  if (!model.projector_paths.empty()) {
    auto read_projector = [&files, path = model.projector_paths[0], verbose = request.verbose] {
      return read_header(files, path, verbose);
    };
    CO_TRY(projector, co_await dependencies.world.workers.run(read_projector));
  }
  co_return co_await context.send_json(write_show(model, weights, projector, request.verbose));
}

}  // namespace om::api
