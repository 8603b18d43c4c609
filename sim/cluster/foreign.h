// A server of another engine on a machine of its own in the simulated network: an Ollama, a
// llama-server, a vLLM, or one that speaks OpenAI's API and no more. Its answers are FakeLlama's,
// so that a seam between it and a node is visible; each kind goes on from a text as the real one
// does, or begins anew where that one would.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "http/server.h"
#include "sim/cluster/foreign_plan.h"
#include "sim/machine.h"

namespace om::sim {

struct ForeignQuestion;

// On the driver's thread of the world. has_all_ended() must be true before it is destroyed.
class ForeignServer {
 public:
  ForeignServer(World& world, const ForeignPlan& plan, int number);
  ~ForeignServer();

  void start();
  void stop();
  void kill();  // kill -9; who speaks with it is told.
  void freeze() { machine().freeze(); }
  void thaw() { machine().thaw(); }

  const ForeignPlan& plan() const { return plan_; }
  const std::string& name() const { return name_; }  // Of the machine, and as a backend.
  std::string url() const;
  bool has_all_ended() const;
  size_t running() const;  // Requests.

  std::optional<ForeignTrouble> conduct;  // How it answers just now, if not well.
  double token_factor = 1;

  struct Asked {
    std::string prompt;  // With what was answered before, if it goes on.
    size_t tokens = 0;   // That it said.
    bool whole = false;  // It came to its end.
  };
  const std::vector<Asked>& asked() const { return asked_; }
  uint64_t requests() const { return requests_; }  // Of all sorts.

 private:
  struct Life;
  Machine& machine();
  io::Task<void> live(Life& life);
  io::Task<void> handle(Life& life, http::Request& request, http::BodyReader& body,
                        http::ResponseWriter& response);
  io::Task<void> tell(std::string_view path, http::ResponseWriter& response);
  io::Task<void> answer(Life& life, http::Request& request, std::string body,
                        http::ResponseWriter& response);
  io::Task<void> say(Life& life, ForeignQuestion question, http::Request& request,
                     http::ResponseWriter& response);
  // False: nothing more comes of this answer.
  io::Task<bool> goes_on(Life& life, const ForeignQuestion& question, http::Request& request,
                         http::ResponseWriter& response);
  bool has(std::string_view model) const;

  World& sim_;
  const ForeignPlan& plan_;
  std::string name_, address_;
  std::vector<std::unique_ptr<Life>> lives_;
  std::vector<Asked> asked_;
  uint64_t requests_ = 0;
};

}  // namespace om::sim
