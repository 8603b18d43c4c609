// The layers of a model in the making.
#pragma once

#include "model/messages.h"
#include "transfer/context.h"

namespace om::transfer {

// Each layer that is added is announced: "using existing layer D" or "creating new layer D".
class LayerList {
 public:
  LayerList(Context& context, const ProgressSink& sink) : context_(context), sink_(sink) {}

  io::Task<Result<void>> add_existing(model::Layer layer);
  io::Task<Result<void>> add_blob(std::string_view kind, Digest digest, bool is_new);
  io::Task<Result<void>> replace_blob(std::string_view kind, Digest digest);
  io::Task<Result<void>> add_text(std::string_view kind, std::string data);
  void remove(std::string_view kind);
  const model::Layer* find(std::string_view kind) const;

  // The params layer with `changes` laid over it, as text; empty if nothing changes.
  Result<std::string> merged_params(const boost::json::object& changes);
  // Family, size and type of the weights, told from the GGUF files among the layers.
  Result<void> describe(model::Config& config);
  io::Task<Result<model::Manifest>> manifest(std::string config_json);

 private:
  io::Task<Result<void>> announce(bool is_new, Digest digest);
  io::Task<Result<model::Layer>> put_text(std::string media_type, std::string data);

  Context& context_;
  const ProgressSink& sink_;
  std::vector<model::Layer> layers_;
};

}  // namespace om::transfer
