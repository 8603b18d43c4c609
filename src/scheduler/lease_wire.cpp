#include "scheduler/lease_wire.h"

#include <algorithm>

#include "base/json_fields.h"

namespace om::scheduler {
namespace {

namespace json = boost::json;

constexpr size_t kFilesMax = 256;
constexpr int64_t kPatienceMsMax = int64_t{1} << 40;  // Longer is for ever.
constexpr int64_t kKeepAliveMinMsMax = 60 * 60 * 1000;

// "…/sha256-<hex>" as "sha256:<hex>".
Result<std::string> digest_of_path(std::string_view path) {
  const size_t slash = path.rfind('/');
  auto digest = Digest::parse(slash == path.npos ? path : path.substr(slash + 1));
  if (!digest) return fail(Errc::corrupt, "{} is not a blob of the store", path);
  return digest->str();
}

Result<json::array> digests_of(const std::vector<std::string>& paths) {
  json::array digests;
  for (const std::string& path : paths) {
    TRY(std::string digest, digest_of_path(path));
    digests.emplace_back(std::move(digest));
  }
  return digests;
}

// Every member of RunnerOptions under its name, for the writer and the reader.
template <class Options, class Each>
void each_option(Options& options, Each&& each) {
  each("num_ctx", options.num_ctx);
  each("num_batch", options.num_batch);
  each("num_gpu", options.num_gpu);
  each("main_gpu", options.main_gpu);
  each("num_thread", options.num_thread);
  each("draft_num_predict", options.draft_num_predict);
  each("use_mmap", options.use_mmap);
}

json::object encode_options(const model::RunnerOptions& runner) {
  json::object object;
  each_option(runner, [&](auto name, const auto& value) {
    if (value) object[name] = *value;
  });
  return object;
}

model::RunnerOptions decode_runner(const json::object& object) {
  const JsonFields fields(object);
  model::RunnerOptions runner;
  each_option(runner, [&](auto name, auto& value) { fields.read(name, value); });
  return runner;
}

// The path of a blob, here or still to be fetched.
Result<std::string> local_path(std::string_view digest, store::Store& store) {
  TRY(const Digest parsed, Digest::parse(digest));
  return store.blob_path(parsed);
}

Result<std::vector<std::string>> local_paths(const JsonFields& fields, std::string_view name,
                                             store::Store& store) {
  std::vector<std::string> paths;
  const json::array* digests = fields.array(name);
  if (!digests) return paths;
  for (const json::value& digest : *digests) {
    if (!digest.is_string()) return fail(Errc::corrupt, "{}: not a digest", name);
    TRY(std::string path, local_path(digest.get_string(), store));
    paths.push_back(std::move(path));
  }
  return paths;
}

json::array encode_files(const std::vector<Target::File>& files) {
  json::array array;
  for (const Target::File& file : files) {
    array.push_back(json::object{{"digest", file.digest.str()}, {"bytes", file.bytes}});
  }
  return array;
}

Result<std::vector<Target::File>> decode_files(const json::array& array) {
  std::vector<Target::File> files;
  if (array.size() > kFilesMax) return fail(Errc::corrupt, "a model of too many files");
  for (const json::value& value : array) {
    if (!value.is_object()) return fail(Errc::corrupt, "files: not an object");
    const JsonFields fields(value.get_object());
    Target::File file;
    TRY(file.digest, Digest::parse(fields.text("digest")));
    fields.read("bytes", file.bytes);
    files.push_back(file);
  }
  return files;
}

AcquireOptions decode_options(const JsonFields& fields) {
  AcquireOptions options;
  std::optional<int64_t> keep_alive_ns;
  fields.read("keep_alive_ns", keep_alive_ns);
  if (keep_alive_ns) options.keep_alive.duration = std::chrono::nanoseconds(*keep_alive_ns);
  int64_t keep_alive_min_ms = 0;
  fields.read("keep_alive_min_ms", keep_alive_min_ms);
  options.keep_alive_min =
      std::chrono::milliseconds(std::clamp<int64_t>(keep_alive_min_ms, 0, kKeepAliveMinMsMax));
  if (fields.text("priority") == "batch") options.priority = Priority::batch;
  fields.read("key", options.client);
  fields.read("weight", options.weight);
  std::optional<int64_t> patience_ms;
  fields.read("patience_ms", patience_ms);
  if (patience_ms && *patience_ms < kPatienceMsMax) {
    options.patience = std::chrono::milliseconds(std::max<int64_t>(0, *patience_ms));
  }
  fields.read("fingerprint", options.fingerprint);
  fields.read("resumes", options.resumes);
  fields.read("may_evict", options.may_evict);
  fields.read("prompt_tokens", options.prompt_tokens);
  return options;
}

}  // namespace

Result<std::string> encode_lease_request(const Target& target, const AcquireOptions& options) {
  json::object object{{"name", target.name},
                      {"manifest", target.manifest.str()},
                      {"weights", target.weights.str()},
                      {"embedding", target.embedding},
                      {"trained_context", target.trained_context},
                      {"runner", encode_options(target.runner)},
                      {"fingerprint", options.fingerprint},
                      {"resumes", options.resumes},
                      {"may_evict", options.may_evict},
                      {"prompt_tokens", options.prompt_tokens}};
  if (target.is_part()) {
    object["part_of"] = target.part_of;
    object["part_bytes"] = target.part_bytes;
  }
  if (target.wants_split) object["wants_split"] = true;
  object["files"] = encode_files(target.files);
  TRY(object["adapters"], digests_of(target.adapter_paths));
  TRY(object["projectors"], digests_of(target.projector_paths));
  if (!target.draft_path.empty()) {
    TRY(object["draft"], digest_of_path(target.draft_path));
  }
  if (options.keep_alive.duration) object["keep_alive_ns"] = options.keep_alive.duration->count();
  if (options.keep_alive_min.count() > 0) {
    object["keep_alive_min_ms"] =
        std::chrono::duration_cast<std::chrono::milliseconds>(options.keep_alive_min).count();
  }
  if (options.priority == Priority::batch) object["priority"] = "batch";
  if (!options.client.empty()) object["key"] = options.client;
  if (options.weight != 1) object["weight"] = options.weight;
  if (options.patience) {
    object["patience_ms"] =
        std::chrono::duration_cast<std::chrono::milliseconds>(*options.patience).count();
  }
  return json::serialize(object);
}

Result<LeaseRequest> decode_lease_request(std::string_view text, store::Store& store) {
  boost::system::error_code failed;
  const json::value value = json::parse(text, failed);
  if (failed || !value.is_object()) return fail(Errc::corrupt, "not a lease request");
  const JsonFields fields(value.get_object());
  LeaseRequest request;
  Target& target = request.target;
  fields.read("name", target.name);
  TRY(target.manifest, Digest::parse(fields.text("manifest")));
  TRY(target.weights, Digest::parse(fields.text("weights")));
  fields.read("part_of", target.part_of);
  fields.read("part_bytes", target.part_bytes);
  fields.read("wants_split", target.wants_split);
  if (!target.is_part()) {
    TRY(target.weights_path, local_path(fields.text("weights"), store));
  }
  TRY(target.adapter_paths, local_paths(fields, "adapters", store));
  TRY(target.projector_paths, local_paths(fields, "projectors", store));
  if (const std::string draft = fields.text("draft"); !draft.empty()) {
    TRY(target.draft_path, local_path(draft, store));
  }
  if (const json::array* files = fields.array("files")) {
    TRY(target.files, decode_files(*files));
  }
  fields.read("embedding", target.embedding);
  fields.read("trained_context", target.trained_context);
  if (const json::object* runner = fields.object("runner")) target.runner = decode_runner(*runner);
  request.options = decode_options(fields);
  return request;
}

}  // namespace om::scheduler
