// A model that runs on another node, used under a lease of that node.
#pragma once

#include <memory>
#include <string>

#include "engine/remote/line_reader.h"

namespace om::engine {

// How often a broken connection is made again for one piece.
inline constexpr int kAttachesMax = 2;

// Speaks /peer/v1/leases/ID/* with the node that gave the lease, and passes on that node's errors.
// If the link breaks or falls silent, the error is unavailable and lost() is true from then on.
// On the io thread; completions must be gone before it.
class RemoteEngine final : public Engine {
 public:
  RemoteEngine(io::World& world, http::Client& client, PeerLink link, std::string lease,
               Properties properties)
      : world_(world),
        client_(client),
        link_(std::move(link)),
        path_("/peer/v1/leases/" + lease),
        properties_(std::move(properties)) {}

  const Properties& properties() const override { return properties_; }
  io::Task<Result<std::unique_ptr<Completion>>> complete(CompletionRequest request,
                                                         io::Call call) override;
  io::Task<Result<EmbeddingResult>> embed(std::vector<Token> tokens, bool normalize,
                                          io::Call call) override;
  io::Task<Result<std::vector<Token>>> tokenize(std::string text, bool add_special,
                                                io::Call call) override;
  io::Task<Result<std::string>> detokenize(std::vector<Token> tokens, io::Call call) override;

  // For a lease on a part: a stream to its process, and a wait for its end (see split/).
  io::Task<Result<std::unique_ptr<io::Stream>>> tunnel(io::Call call);
  io::Task<Error> watch(io::CancelToken cancel);

  bool lost() const { return lost_; }
  const PeerLink& link() const { return link_; }

 private:
  friend class RemoteCompletion;
  io::Task<Result<LineReader>> open(std::string_view operation, std::string body, io::Call call);
  // One request with one line as its answer.
  io::Task<Result<boost::json::object>> ask(std::string_view operation, std::string body,
                                            io::Call call);

  io::World& world_;
  http::Client& client_;
  PeerLink link_;
  std::string path_;
  Properties properties_;
  bool lost_ = false;
};

}  // namespace om::engine
