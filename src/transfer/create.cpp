#include "transfer/create.h"

#include "base/log.h"
#include "store/model_loader.h"
#include "transfer/blob_holders.h"
#include "transfer/held_model.h"
#include "transfer/layer_list.h"
#include "transfer/model_source.h"
#include "transfer/pull.h"
#include "transfer/replicas/catalogue.h"

namespace om::transfer {
namespace {

// Everything a pull says except its "success", which is not ours yet.
class InnerPull {
 public:
  explicit InnerPull(const ProgressSink& sink) : sink_(sink) {}
  io::Task<Result<void>> take(Progress progress) {
    if (progress.status == "success") co_return Result<void>{};
    co_return co_await sink_(std::move(progress));
  }

 private:
  const ProgressSink& sink_;
};

class Creation {
 public:
  Creation(Context& context, DownloadTable& downloads, CreateRequest request, ProgressSink sink,
           io::Call call)
      : context_(context),
        downloads_(downloads),
        request_(std::move(request)),
        sink_(std::move(sink)),
        call_(std::move(call)),
        layers_(context, sink_) {}

  io::Task<Result<void>> run() {
    auto made = co_await make();
    if (!made) co_await let_go({});
    if (base_) co_await release_model(context_, std::move(*base_));
    co_return made;
  }

 private:
  io::Task<Result<void>> make() {
    CO_TRY_VOID(check());
    CO_TRY(hold_, co_await context_.store.hold(uploaded()));
    CO_TRY_VOID(co_await fetch_uploads());
    if (!request_.from.empty()) {
      CO_TRY_VOID(co_await take_base());
    } else {
      CO_TRY_VOID(co_await take_files(request_.files, "model"));
    }
    CO_TRY_VOID(co_await take_files(request_.adapters, "adapter"));
    CO_TRY_VOID(co_await take_files(request_.drafts, "draft"));
    CO_TRY_VOID(co_await quantize_layer("model", request_.quantize));
    CO_TRY_VOID(co_await quantize_layer("draft", request_.draft_quantize));
    CO_TRY_VOID(co_await take_texts());
    co_return co_await write();
  }

  Result<void> check() {
    if (request_.from.empty() && request_.files.empty()) {
      return fail(Errc::invalid_argument, "neither 'from' or 'files' was specified");
    }
    for (std::string* type : {&request_.quantize, &request_.draft_quantize}) {
      if (type->empty()) continue;
      TRY(*type, quantization_type(*type));
    }
    for (const auto* files : {&request_.files, &request_.adapters, &request_.drafts}) {
      for (const auto& [path, digest] : *files) TRY_VOID(check_relative_path(path));
    }
    return {};
  }

  std::vector<Digest> uploaded() const {
    std::vector<Digest> digests;
    for (const auto* files : {&request_.files, &request_.adapters, &request_.drafts}) {
      for (const auto& [path, digest] : *files) digests.push_back(digest);
    }
    return digests;
  }

  // Behind a balancer they may have gone to another node than this request.
  io::Task<Result<void>> fetch_uploads() {
    const std::vector<Digest> digests = uploaded();
    for (const Digest& digest : digests) {
      if (context_.store.blob_size(digest)) continue;
      const auto size = co_await size_elsewhere(context_, digest, call_);
      if (!size) break;  // That it is missing is told where it is read.
      CO_TRY_VOID(co_await downloads_.fetch(nullptr, digest, *size, sink_, call_));
    }
    co_return Result<void>{};
  }

  io::Task<Result<void>> take_base() {
    CO_TRY(const auto name, model::Name::parse(request_.from));
    auto found = co_await find_model(context_, name, call_);
    if (!found && found.error().code == Errc::not_found) {
      InnerPull inner(sink_);
      ProgressSink pull_sink = [&inner](Progress p) { return inner.take(std::move(p)); };
      RegistryRequest pull{name, false};
      CO_TRY_VOID(
          co_await pull_model(context_, downloads_, std::move(pull), std::move(pull_sink), call_));
      found = co_await find_model(context_, name, call_);
    }
    CO_TRY(base_, std::move(found));
    CO_TRY_VOID(co_await hold_files(context_, downloads_, *base_, sink_, call_));
    const model::Manifest& manifest = base_->manifest;
    CO_TRY(const auto json, context_.store.read_blob(manifest.config.digest, store::kTextBytesMax));
    CO_TRY(config_, model::Config::parse(json));
    // Which weights these are is read again from the files below.
    for (model::Layer layer : manifest.layers) {
      layer.from = base_->name.shortest();
      CO_TRY_VOID(co_await layers_.add_existing(std::move(layer)));
    }
    co_return Result<void>{};
  }

  io::Task<Result<void>> take_files(const std::map<std::string, Digest>& files,
                                    std::string_view kind) {
    if (files.empty()) co_return Result<void>{};
    CO_TRY(auto sources, co_await read_sources(context_, files, kind, *hold_, sink_, call_));
    for (ModelSource& source : sources) {
      if (source.kind == "adapter" && layers_.find("adapter") != nullptr) {
        co_return fail(Errc::invalid_argument, "only one adapter is currently supported");
      }
      if (source.kind == "draft") layers_.remove("draft");  // Of the model it is made from.
      if (source.is_new) made_.push_back(source.digest);
      CO_TRY_VOID(co_await layers_.add_blob(source.kind, source.digest, source.is_new));
    }
    co_return Result<void>{};
  }

  io::Task<Result<void>> quantize_layer(std::string_view kind, std::string type) {
    if (type.empty()) co_return Result<void>{};
    const model::Layer* weights = layers_.find(kind);
    if (weights == nullptr) co_return Result<void>{};
    const Digest before = weights->digest;
    CO_TRY(const auto after, co_await quantize_blob(context_, before, type, *hold_, sink_, call_));
    if (!after) co_return Result<void>{};
    made_.push_back(*after);
    CO_TRY_VOID(co_await layers_.replace_blob(kind, *after));
    co_return Result<void>{};
  }

  // Small layers: text, parameters, messages.
  io::Task<Result<void>> take_texts() {
    if (request_.template_text && !request_.template_text->empty()) {
      CO_TRY_VOID(co_await put_text("template", *request_.template_text, true));
    }
    if (request_.system && !request_.system->empty()) {
      CO_TRY_VOID(co_await put_text("system", *request_.system, true));
    }
    for (const std::string& license : request_.licenses) {
      CO_TRY_VOID(co_await put_text("license", license, false));
    }
    CO_TRY(const std::string params, layers_.merged_params(request_.parameters));
    if (!params.empty()) CO_TRY_VOID(co_await put_text("params", params, true));
    if (!request_.messages.empty()) {
      CO_TRY_VOID(co_await put_text("messages", model::messages_to_json(request_.messages), true));
    }
    co_return Result<void>{};
  }

  io::Task<Result<void>> put_text(std::string_view kind, std::string data, bool replace) {
    if (replace) layers_.remove(kind);
    std::vector<Digest> digests{Digest::of(data)};
    CO_TRY_VOID(co_await hold_->add(std::move(digests)));
    co_return co_await layers_.add_text(kind, std::move(data));
  }

  io::Task<Result<void>> write() {
    if (!request_.renderer.empty()) config_.renderer = request_.renderer;
    if (!request_.parser.empty()) config_.parser = request_.parser;
    if (!request_.requires_version.empty()) config_.requires_version = request_.requires_version;
    CO_TRY_VOID(layers_.describe(config_));
    std::string json = config_.to_json();
    std::vector<Digest> digests{Digest::of(json)};
    CO_TRY_VOID(co_await hold_->add(std::move(digests)));
    CO_TRY(const auto manifest, co_await layers_.manifest(std::move(json)));

    CO_TRY_VOID(co_await report(sink_, "writing manifest"));
    std::vector<Digest> unused;
    if (const auto before = context_.store.find(request_.name)) {
      unused = before->manifest.digests();
    }
    if (context_.catalogue != nullptr) {
      CO_TRY_VOID(co_await context_.catalogue->put(request_.name, manifest.to_json(), call_));
    }
    CO_TRY_VOID(co_await context_.store.put_manifest(request_.name, manifest.to_json()));
    co_await let_go(std::move(unused));
    log_info("created", field("model", request_.name.shortest()));
    co_return co_await report(sink_, "success");
  }

  // Of `unused` and of what was made on the way (converted, and quantized then) what is named by no
  // model. Uploads stay: the next request may name them, too.
  io::Task<void> let_go(std::vector<Digest> unused) {
    hold_.reset();
    if (base_) base_->hold.reset();
    unused.insert(unused.end(), made_.begin(), made_.end());
    if (!context_.options.prune || unused.empty()) co_return;
    // That old bytes stay is worth a line, not a failure.
    const auto removed = co_await context_.store.remove_unreferenced(std::move(unused));
    if (!removed) log_warn("unused layers are kept", field("error", removed.error()));
  }

  Context& context_;
  DownloadTable& downloads_;
  CreateRequest request_;
  ProgressSink sink_;
  io::Call call_;
  LayerList layers_;
  model::Config config_;
  std::unique_ptr<store::Hold> hold_;
  std::optional<HeldModel> base_;
  std::vector<Digest> made_;
};

}  // namespace

io::Task<Result<void>> create_model(Context& context, DownloadTable& downloads,
                                    CreateRequest request, ProgressSink sink, io::Call call) {
  Creation creation(context, downloads, std::move(request), std::move(sink), std::move(call));
  co_return co_await creation.run();
}

}  // namespace om::transfer
