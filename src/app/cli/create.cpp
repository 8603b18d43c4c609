// create: reads a Modelfile, uploads the files it names, and has the server make the model.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "app/cli/progress_lines.h"
#include "app/cli/terminal.h"
#include "base/digest.h"
#include "base/strings.h"
#include "io/real/descriptor.h"
#include "model/modelfile.h"

namespace om::app {

namespace json = boost::json;

namespace {

constexpr uint64_t kModelfileMax = uint64_t{16} << 20;
constexpr size_t kFilesMax = 4096;

// Also one that comes through a pipe: `create m -f <(...)`.
Result<std::string> read_modelfile(io::Filesystem& files, const std::string& path) {
  struct stat facts{};
  if (::stat(path.c_str(), &facts) != 0 || !S_ISFIFO(facts.st_mode)) {
    return files.read_file(path, kModelfileMax);
  }
  const io::Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return fail(Errc::io_failed, "{}: {}", path, std::strerror(errno));
  return read_to_end(file.get(), kModelfileMax);
}

// Where a Modelfile's path leads: "~" is home, relative paths start at the Modelfile.
std::string resolve(std::string_view path, const std::string& base) {
  if (path.starts_with("~/")) {
    const char* home = std::getenv("HOME");
    return io::join(home != nullptr ? home : "/root", path.substr(2));
  }
  if (path.starts_with('/')) return std::string(path);
  return io::join(base, path);
}

io::Task<Result<Digest>> digest_of(io::World& world, std::string path) {
  auto hash = [&world, path]() -> Result<Digest> {
    TRY(auto file, world.files.open(path, io::Filesystem::Open::read));
    Hasher hasher;
    std::string piece(size_t{4} << 20, '\0');
    for (uint64_t offset = 0;;) {
      TRY(const size_t count, file->read_at(offset, piece));
      if (count == 0) return hasher.finish();
      hasher.update(std::string_view(piece).substr(0, count));
      offset += count;
    }
  };
  co_return co_await world.workers.run(hash);
}

// The files that a model's folder is made of, relative to it.
Result<std::vector<std::string>> model_files(io::Filesystem& files, const std::string& folder) {
  TRY(const auto names, files.list(folder));
  std::vector<std::string> safetensors, ggufs, others;
  for (const std::string& name : names) {
    if (name.ends_with(".safetensors")) safetensors.push_back(name);
    if (name.ends_with(".gguf")) ggufs.push_back(name);
    if (name.ends_with(".json") || name.ends_with(".model") || name.ends_with(".jinja") ||
        name == "vocab.txt" || name == "merges.txt") {
      others.push_back(name);
    }
  }
  if (safetensors.empty()) {
    if (ggufs.empty()) {
      return fail(Errc::not_found, "{}: no safetensors or GGUF files in this folder", folder);
    }
    return ggufs;
  }
  // Mistral's folders have the same weights twice.
  const auto named = [](std::string_view prefix) {
    return [prefix](const std::string& name) { return name.starts_with(prefix); };
  };
  if (std::ranges::any_of(safetensors, named("model"))) {
    std::erase_if(safetensors, named("consolidated"));
  }
  safetensors.insert(safetensors.end(), others.begin(), others.end());
  const std::string pooling = io::join(folder, "1_Pooling");
  if (files.exists(io::join(pooling, "config.json"))) {
    safetensors.emplace_back("1_Pooling/config.json");
  }
  return safetensors;
}

class Uploader {
 public:
  Uploader(Cli& cli, Progress& progress) : cli_(cli), progress_(progress) {}

  // Uploads a file, or a folder's files, and adds name -> digest to `into`.
  io::Task<Result<void>> add(std::string path, json::object& into) {
    CO_TRY(const io::FileInfo info, cli_.world().files.info(path));
    if (!info.is_directory) {
      co_return co_await upload(path, path.substr(path.rfind('/') + 1), into);
    }
    CO_TRY(const auto names, model_files(cli_.world().files, path));
    if (names.size() > kFilesMax)
      co_return fail(Errc::invalid_argument, "{}: too many files", path);
    for (const std::string& name : names) {
      CO_TRY_VOID(co_await upload(io::join(path, name), name, into));
    }
    co_return Result<void>{};
  }

 private:
  io::Task<Result<void>> upload(std::string path, std::string name, json::object& into) {
    if (!cli_.json) progress_.status("gathering model components");
    CO_TRY(const Digest digest, co_await digest_of(cli_.world(), path));
    into[name] = digest.str();
    CO_TRY(const bool known, co_await cli_.api.has_blob(digest));
    if (known) co_return Result<void>{};
    CO_TRY(const io::FileInfo info, cli_.world().files.info(path));
    const std::string text = fmt::format("copying file {}", digest.str());
    auto show = [this, text, total = info.size](uint64_t sent) {
      if (!cli_.json) progress_.bar(text, sent, total, cli_.world().clock.now());
    };
    co_return co_await cli_.api.upload_blob(digest, std::move(path), std::move(show));
  }

  Cli& cli_;
  Progress& progress_;
};

json::object request_from(const model::Modelfile& file, const CreateOptions& options) {
  json::object body;
  body["model"] = options.model;
  if (!options.quantize.empty()) body["quantize"] = options.quantize;
  if (!options.draft_quantize.empty()) body["draft_quantize"] = options.draft_quantize;
  if (file.template_text) body["template"] = *file.template_text;
  if (file.system) body["system"] = *file.system;
  if (!file.renderer.empty()) body["renderer"] = file.renderer;
  if (!file.parser.empty()) body["parser"] = file.parser;
  if (!file.requires_version.empty()) body["requires"] = file.requires_version;
  if (!file.parameters.empty()) body["parameters"] = file.parameters;
  if (!file.licenses.empty()) {
    json::array licenses;
    for (const std::string& text : file.licenses) licenses.emplace_back(text);
    body["license"] = std::move(licenses);
  }
  if (!file.messages.empty()) {
    json::array messages;
    for (const auto& message : file.messages) {
      json::object entry;
      entry["role"] = message.role;
      entry["content"] = message.content;
      messages.push_back(std::move(entry));
    }
    body["messages"] = std::move(messages);
  }
  return body;
}

}  // namespace

CommandTask create_command(Cli& cli, CreateOptions options) {
  const std::string path = options.file_given ? options.file : "Modelfile";
  auto& files = cli.world().files;
  auto text = read_modelfile(files, path);
  const bool is_missing = !text && text.error().code == Errc::not_found;
  if (is_missing && !options.file_given && model_files(files, ".")) {
    text = "FROM .\n";  // As Ollama does, in a folder that has a model.
  }
  if (!text) {
    co_return fail(text.error().code, "{} (write a Modelfile, or name one with -f)",
                   text.error().what);
  }
  auto parsed = model::Modelfile::parse(*text);
  if (!parsed) co_return fail(annotate(parsed.error(), path));
  for (const std::string& warning : parsed->warnings) {
    std::fprintf(stderr, "Warning: %s\n", warning.c_str());
  }
  const std::string base = io::parent(path);
  json::object body = request_from(*parsed, options);
  json::object uploads, adapters, drafts;
  Progress progress(!cli.quiet_bars && !cli.json);
  Uploader uploader(cli, progress);
  for (const std::string& from : parsed->from) {
    const std::string local = resolve(from, base);
    const bool looks_like_path = from.starts_with('/') || from.starts_with('.') ||
                                 from.starts_with('~') || from.ends_with(".gguf");
    if (files.exists(local)) {
      CO_TRY_VOID(co_await uploader.add(local, uploads));
    } else if (looks_like_path) {
      co_return fail(Errc::not_found, "{}: FROM {}: no such file or folder", path, from);
    } else {
      body["from"] = from;
    }
  }
  for (const std::string& adapter : parsed->adapters) {
    CO_TRY_VOID(co_await uploader.add(resolve(adapter, base), adapters));
  }
  for (const std::string& draft : parsed->drafts) {
    CO_TRY_VOID(co_await uploader.add(resolve(draft, base), drafts));
  }
  if (!uploads.empty()) body["files"] = std::move(uploads);
  if (!adapters.empty()) body["adapters"] = std::move(adapters);
  if (!drafts.empty()) body["draft_files"] = std::move(drafts);
  progress.finish();
  co_return co_await follow_progress(cli, "/api/create", std::move(body));
}

}  // namespace om::app
