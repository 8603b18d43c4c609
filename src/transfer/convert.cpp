#include "transfer/convert.h"

#include <algorithm>
#include <array>

#include "base/strings.h"
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

// The converter has transformers load whatever a model names. So what names code (auto_map, also in
// a file that configuration_files names instead of config.json) or a file, which may lie anywhere
// on this machine (vocab_file and the like), is left out of what it reads. By Python, which reads
// these files as transformers does; as they are blobs, they are written anew. Prints the kind of a
// model that had code.
constexpr std::string_view kLeaveOutCode = R"py(
import json, os, re, sys
kind, has_code = '', False
folder = sys.argv[1]
for place, _, names in os.walk(folder):
    for name in names:
        path = os.path.join(place, name)
        if not name.lower().endswith('.json'):
            continue
        try:
            with open(path, encoding='utf-8') as file:
                data = json.load(file)
        except (ValueError, RecursionError) as error:
            sys.exit(f'{name}: {error}')
        if not isinstance(data, dict):
            continue
        if name == 'config.json' and place == folder:
            kinds = data.get('architectures')
            kind = kinds[0] if isinstance(kinds, list) and kinds else data.get('model_type')
        left_out = [key for key, value in data.items()
                    if key in ('auto_map', 'configuration_files')
                    and isinstance(value, (dict, list))
                    or name == 'tokenizer_config.json' and isinstance(value, str)
                    and os.path.isfile(os.path.join(folder, value))]
        has_code = has_code or 'auto_map' in left_out
        if left_out:
            os.remove(path)
            with open(path, 'x', encoding='utf-8') as file:
                json.dump({k: v for k, v in data.items() if k not in left_out}, file)
if has_code:
    print('code:' + (re.sub(r'[^A-Za-z0-9_.-]', '', str(kind))[:80] or 'the model'))
)py";

// All that Python is to know of our environment: where it and its packages are, how it writes. Not
// what else the node was started with.
constexpr std::array<std::string_view, 13> kKept{
    "PATH",        "HOME",       "LANG",           "LC_ALL",
    "LC_CTYPE",    "PYTHONHOME", "PYTHONUSERBASE", "LD_LIBRARY_PATH",
    "VIRTUAL_ENV", "PYTHONPATH", "PYENV_ROOT",     "PYENV_VERSION",
    "CONDA_PREFIX"};

// What the converter and the libraries it uses read of a model. Anything else, programs above all,
// stays out.
constexpr std::array<std::string_view, 11> kDataExtensions{
    ".safetensors", ".json", ".jsonl", ".model", ".txt", ".jinja",
    ".tiktoken",    ".md",   ".vocab", ".bpe",   ".spm"};

bool is_data(std::string_view path) {
  const std::string name = to_lower(path);
  return std::ranges::any_of(kDataExtensions,
                             [&name](std::string_view end) { return name.ends_with(end); });
}

// Keeps the rest of the last line that begins with a mark.
class MarkedLine {
 public:
  explicit MarkedLine(std::string_view mark) : mark_(mark) {}
  io::Task<Result<void>> take(std::string line) {
    if (line.starts_with(mark_)) rest_ = trim(std::string_view(line).substr(mark_.size()));
    co_return Result<void>{};
  }
  const std::string& rest() const { return rest_; }

 private:
  std::string_view mark_;
  std::string rest_;
};

// One conversion: its files are in a folder of their own, and all that Python writes beside it.
class Conversion {
 public:
  Conversion(Context& context, io::Path folder, io::Call call)
      : context_(context), folder_(std::move(folder)), call_(std::move(call)) {}

  io::Task<Result<void>> check_packages();
  Result<void> link_files(const std::map<std::string, Digest>& files);
  // The kind of a model that had code; empty: it has none.
  io::Task<Result<std::string>> leave_out_code();
  io::Task<Result<void>> convert(io::Path output);

 private:
  io::SpawnOptions python(std::vector<std::string> arguments) const;

  Context& context_;
  const io::Path folder_;
  const io::Call call_;
};

// Children are started by path; env looks a bare name like "python3" up.
io::SpawnOptions Conversion::python(std::vector<std::string> arguments) const {
  const std::string& python = context_.options.python;
  const io::Path own = io::parent(folder_);
  io::SpawnOptions options;
  if (python.find('/') == std::string::npos) options.argv = {"/usr/bin/env"};
  options.argv.push_back(python);
  std::ranges::move(arguments, std::back_inserter(options.argv));
  options.environment_kept.emplace(kKept.begin(), kKept.end());
  // What others have downloaded is not this model's, and nothing is fetched for it.
  options.environment = {{"HF_HUB_OFFLINE", "1"},
                         {"TRANSFORMERS_OFFLINE", "1"},
                         {"HF_HOME", io::join(own, "cache")},
                         {"XDG_CACHE_HOME", io::join(own, "cache")},
                         {"TMPDIR", own}};
  options.ends_first = true;
  return options;
}

io::Task<Result<void>> Conversion::check_packages() {
  std::vector<std::string> arguments{"-c", std::string(kFindMissing)};
  arguments.insert(arguments.end(), kPackages.begin(), kPackages.end());
  MarkedLine missing("missing:");
  LineSink lines = [&missing](std::string line) { return missing.take(std::move(line)); };
  const auto done =
      co_await run_child(context_.world, python(std::move(arguments)), std::move(lines), call_);
  if (!done && done.error().code == Errc::cancelled) co_return done;
  if (!done) {
    co_return fail(Errc::unsupported, "converting safetensors needs Python: {}", done.error().what);
  }
  if (missing.rest().empty()) co_return Result<void>{};
  co_return fail(Errc::unsupported,
                 "converting safetensors needs Python packages that are not installed on the "
                 "server. Install them there (`{} -m pip install {}`) and try again, or create the "
                 "model from a GGUF file",
                 context_.options.python, missing.rest());
}

Result<void> Conversion::link_files(const std::map<std::string, Digest>& files) {
  for (const auto& [path, digest] : files) {
    if (!is_data(path)) continue;
    const io::Path target = io::join(folder_, path);
    TRY_VOID(context_.world.files.make_directories(io::parent(target)));
    TRY_VOID(context_.world.files.link(context_.store.blob_path(digest), target));
  }
  return {};
}

io::Task<Result<std::string>> Conversion::leave_out_code() {
  std::vector<std::string> arguments{"-c", std::string(kLeaveOutCode), folder_};
  MarkedLine kind("code:");
  LineSink lines = [&kind](std::string line) { return kind.take(std::move(line)); };
  CO_TRY_VOID(
      co_await run_child(context_.world, python(std::move(arguments)), std::move(lines), call_));
  co_return kind.rest();
}

io::Task<Result<void>> Conversion::convert(io::Path output) {
  io::SpawnOptions options = python({context_.options.convert_script, folder_, "--outfile",
                                     std::move(output), "--outtype", "auto"});
  options.directory = folder_;
  LineSink no_lines;
  co_return co_await run_child(context_.world, std::move(options), std::move(no_lines), call_);
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
  Conversion conversion(context, std::move(folder), std::move(call));
  CO_TRY_VOID(co_await conversion.check_packages());
  CO_TRY_VOID(conversion.link_files(files));
  CO_TRY(const std::string kind, co_await conversion.leave_out_code());
  const auto done = co_await conversion.convert(std::move(output));
  if (done || kind.empty() || done.error().code != Errc::internal) co_return done;
  // Many models do without it: what they name has long been part of transformers.
  co_return fail(
      Errc::unsupported,
      "{} comes with Python code of its own (auto_map), which a server does not run, and "
      "could not be converted without it. Convert it with llama.cpp's "
      "convert_hf_to_gguf.py on a machine where you trust that code, and create the "
      "model from the GGUF file. The converter said: {}",
      kind, done.error().what);
}

}  // namespace om::transfer
