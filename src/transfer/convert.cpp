#include "transfer/convert.h"

#include "http/message.h"
#include "transfer/child.h"

namespace om::transfer {
namespace {

// Prints which packages are missing; an argument is a module and the package that brings it.
constexpr std::string_view kFindMissing =
    "import importlib.util, sys\n"
    "pairs = [argument.split('=') for argument in sys.argv[1:]]\n"
    "print('missing:' + ' '.join(p for m, p in pairs if importlib.util.find_spec(m) is None))";
constexpr std::array<std::string_view, 4> kPackages{"torch=torch", "transformers=transformers",
                                                    "numpy=numpy", "yaml=pyyaml"};

// Children are started by path; env looks a bare name like "python3" up.
std::vector<std::string> python_command(const Context& context) {
  const std::string& python = context.options.python;
  if (python.find('/') != std::string::npos) return {python};
  return {"/usr/bin/env", python};
}

// Keeps the one line that matters.
class MissingPackages {
 public:
  io::Task<Result<void>> take(std::string line) {
    constexpr std::string_view kMark = "missing:";
    if (line.starts_with(kMark)) names_ = http::trim(std::string_view(line).substr(kMark.size()));
    co_return Result<void>{};
  }
  const std::string& names() const { return names_; }

 private:
  std::string names_;
};

io::Task<Result<void>> check_python(Context& context, io::Call call) {
  MissingPackages missing;
  io::SpawnOptions options;
  options.argv = python_command(context);
  options.argv.emplace_back("-c");
  options.argv.emplace_back(kFindMissing);
  for (const std::string_view package : kPackages) options.argv.emplace_back(package);
  LineSink lines = [&missing](std::string line) { return missing.take(std::move(line)); };
  const auto done = co_await run_child(context.world, std::move(options), std::move(lines), call);
  if (!done && done.error().code == Errc::cancelled) co_return done;
  if (!done) {
    co_return fail(Errc::unsupported, "converting safetensors needs Python: {}", done.error().what);
  }
  if (missing.names().empty()) co_return Result<void>{};
  co_return fail(Errc::unsupported,
                 "converting safetensors needs Python packages that are not installed on the "
                 "server. Install them there (`{} -m pip install {}`) and try again, or create the "
                 "model from a GGUF file",
                 context.options.python, missing.names());
}

}  // namespace

io::Task<Result<void>> convert_safetensors(Context& context,
                                           const std::map<std::string, Digest>& files,
                                           io::Path folder, io::Path output, io::Call call) {
  const std::string& script = context.options.convert_script;
  if (script.empty() || !context.world.files.exists(script)) {
    co_return fail(Errc::unsupported,
                   "converting safetensors needs llama.cpp's convert_hf_to_gguf.py, which is not "
                   "installed{}; create the model from a GGUF file",
                   script.empty() ? "" : " at " + script);
  }
  CO_TRY_VOID(co_await check_python(context, call));
  for (const auto& [path, digest] : files) {
    const io::Path target = io::join(folder, path);
    CO_TRY_VOID(context.world.files.make_directories(io::parent(target)));
    CO_TRY_VOID(context.world.files.link(context.store.blob_path(digest), target));
  }
  io::SpawnOptions options;
  options.argv = python_command(context);
  for (const std::string& word : {script, folder, std::string("--outfile"), output,
                                  std::string("--outtype"), std::string("auto")}) {
    options.argv.push_back(word);
  }
  options.directory = folder;
  LineSink no_lines;
  co_return co_await run_child(context.world, std::move(options), std::move(no_lines), call);
}

}  // namespace om::transfer
