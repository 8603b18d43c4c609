// Brings models in and out: pull and push speak Ollama's registry protocol, create makes a model
// from files or another model. Clears the store daily of abandoned work. One per node, on the io
// thread; stop() must have returned before it is destroyed.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "http/client.h"
#include "io/world.h"
#include "model/chat.h"
#include "store/store.h"

namespace om::transfer {

// A line of progress, as the API streams it.
struct Progress {
  std::string status;  // "pulling manifest", "pulling 0123456789ab", "success", ...
  std::optional<Digest> digest;
  std::optional<uint64_t> total, completed;
};

// Called on the io thread; an error (the client left) ends the work.
using ProgressSink = std::function<io::Task<Result<void>>(Progress)>;

struct RegistryRequest {
  model::Name name;
  bool insecure = false;  // Allows http, and certificates that do not check.
};

struct CreateRequest {
  model::Name name;
  std::string from;                     // Another model's name, or empty.
  std::map<std::string, Digest> files;  // Relative path to uploaded blob.
  std::map<std::string, Digest> adapters, drafts;
  std::optional<std::string> template_text, system;
  std::vector<std::string> licenses;
  boost::json::object parameters;
  std::vector<model::Message> messages;
  std::string renderer, parser, requires_version;
  std::string quantize, draft_quantize;  // "Q4_K_M", ... or empty.
};

class Transfer {
 public:
  virtual ~Transfer() = default;
  // Two pulls of one digest share one download.
  virtual io::Task<Result<void>> pull(RegistryRequest request, ProgressSink sink,
                                      io::Call call) = 0;
  virtual io::Task<Result<void>> push(RegistryRequest request, ProgressSink sink,
                                      io::Call call) = 0;
  virtual io::Task<Result<void>> create(CreateRequest request, ProgressSink sink,
                                        io::Call call) = 0;
  virtual io::Task<void> stop() = 0;
};

struct TransferOptions {
  std::string key_path;          // ed25519 key in OpenSSH form; made if absent.
  std::string uploads_file;      // Where broken pushes are remembered; empty: nowhere.
  std::string quantize_program;  // llama-quantize.
  std::string convert_script;    // convert_hf_to_gguf.py; empty: not installed.
  std::string python = "python3";
  std::string temporary_directory;
  bool prune = true;  // Layers of a model that is replaced are removed if nothing else names them.
};

class Distribution;

// For a node of a cluster: blobs come from other nodes if possible, and a model that is pulled or
// made gets into the catalogue first. The distribution outlives it.
std::unique_ptr<Transfer> make_transfer(Distribution& distribution);

// For a node without a cluster.
std::unique_ptr<Transfer> make_transfer(io::World& world, store::Store& store, http::Client& client,
                                        TransferOptions options);

}  // namespace om::transfer
