#include "api/ollama_handlers.h"
#include "api/ollama_progress.h"
#include "api/ollama_request.h"
#include "prompt/render.h"

namespace om::api {
namespace {

namespace json = boost::json;

constexpr size_t kFilesMax = 4096;

bool is_relative(std::string_view path) {
  if (path.empty() || path.front() == '/' || path.find('\0') != path.npos) return false;
  while (!path.empty()) {
    const size_t slash = path.find('/');
    if (path.substr(0, slash) == "..") return false;
    if (slash == path.npos) break;
    path.remove_prefix(slash + 1);
  }
  return true;
}

Result<void> read_files(ObjectReader& reader, std::string_view name,
                        std::map<std::string, Digest>& target) {
  json::object files;
  reader.read(name, files);
  if (files.size() > kFilesMax) {
    return fail(Errc::invalid_argument, "more than {} files", kFilesMax);
  }
  for (const auto& file : files) {
    if (!file.value().is_string()) {
      reader.refuse(name, file.value(), "string");
      continue;
    }
    if (!is_relative(file.key())) {
      return fail(Errc::invalid_argument, "file path must be relative");
    }
    const auto digest = Digest::parse(file.value().get_string());
    if (!digest) return fail(Errc::invalid_argument, "invalid digest format");
    target[std::string(file.key())] = *digest;
  }
  return {};
}

// A string or a list of strings.
void read_licenses(ObjectReader& reader, std::vector<std::string>& target) {
  const json::value* value = reader.find("license");
  if (!value) return;
  if (!value->is_string()) return reader.read("license", target);
  if (!value->get_string().empty()) target.emplace_back(value->get_string());
}

struct CreateBody {
  std::string name;
  bool stream = true;
  std::string remote_host;
  transfer::CreateRequest request;
};

Result<CreateBody> read_create_request(const json::value& body) {
  ObjectReader reader("CreateRequest", body);
  CreateBody create;
  transfer::CreateRequest& request = create.request;
  create.name = read_model_name(reader);
  reader.read("stream", create.stream);
  reader.read("from", request.from);
  reader.read("template", request.template_text);
  reader.read("system", request.system);
  reader.read("parameters", request.parameters);
  reader.read("renderer", request.renderer);
  reader.read("parser", request.parser);
  reader.read("requires", request.requires_version);
  reader.read("quantization", request.quantize);
  reader.read("quantize", request.quantize);
  reader.read("remote_host", create.remote_host);
  reader.read("draft_quantize", request.draft_quantize);
  read_licenses(reader, request.licenses);
  request.messages = read_messages(reader, "messages");
  Result<void> files = read_files(reader, "files", request.files);
  Result<void> adapters = read_files(reader, "adapters", request.adapters);
  Result<void> drafts = read_files(reader, "draft_files", request.drafts);
  TRY_VOID(reader.done());
  TRY(request.name, model::Name::parse(create.name));
  TRY_VOID(files);
  TRY_VOID(adapters);
  TRY_VOID(drafts);
  return create;
}

Result<void> check_create(const CreateBody& create) {
  const transfer::CreateRequest& request = create.request;
  if (!create.remote_host.empty()) {
    return fail(Errc::invalid_argument, "remote models are not supported");
  }
  if (request.drafts.size() > 1) {
    return fail(Errc::invalid_argument, "only one draft model is supported");
  }
  if (request.from.empty() && request.files.empty()) {
    return fail(Errc::invalid_argument, "neither 'from' or 'files' was specified");
  }
  if (request.template_text) {
    Result<void> checked = prompt::check_go_template(*request.template_text);
    if (!checked) {
      return fail(Errc::invalid_argument, "template error: {}", checked.error().what);
    }
  }
  return {};
}

}  // namespace

HandlerResult handle_create(const Dependencies& dependencies, Context& context) {
  CO_TRY(const auto body, co_await read_json(context, dependencies.settings.body_bytes_max));
  CO_TRY(CreateBody create, read_create_request(body));
  context.model = create.name;
  CO_TRY_VOID(check_create(create));
  ProgressSender progress(context, create.stream);
  transfer::ProgressSink sink = progress.sink();
  transfer::CreateRequest request = std::move(create.request);
  io::Call call = context.call();
  CO_TRY_VOID(
      co_await dependencies.transfer.create(std::move(request), std::move(sink), std::move(call)));
  co_return co_await progress.finish();
}

}  // namespace om::api
