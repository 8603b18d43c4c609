// One foreign server while we use it: its kind, its models, its health.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/external/backend_dialect.h"
#include "engine/external/backend_spec.h"
#include "engine/external/backend_speed.h"
#include "engine/external/external_answer.h"
#include "engine/external/external_bodies.h"
#include "http/client.h"
#include "io/event.h"
#include "io/task_group.h"
#include "io/world.h"

namespace om::engine {

struct ExternalModel {
  std::string name;
  uint64_t size = 0;        // 0: not told.
  std::string digest;       // Hex; empty: not told.
  io::WallTime modified{};  // The epoch: not told.
};

// Without ":latest", which servers may add to a name or leave out.
std::string_view without_latest(std::string_view model);

// On the io thread; stop() must have returned before it is destroyed, answers may outlive it.
//
// Asks the server for its models every kCheckInterval, and when its key changes. After kFailuresMax
// failures in a row nothing is sent for a growing while; then one request goes on trial.
class Backend {
 public:
  static constexpr std::chrono::seconds kCheckInterval{5}, kCheckMax{5};
  static constexpr int kFailuresMax = 3;
  static constexpr int kDoubtsMax = 12;  // Checks until a server that hides its kind is believed.
  static constexpr std::chrono::seconds kOpenFirst{2}, kOpenMax{60};

  Backend(io::World& world, http::Client& client, BackendSpec spec, std::string key);
  ~Backend();

  void start();
  io::Task<Result<void>> check(io::Call call);  // Kind and models, now.
  io::Task<void> stop();

  const BackendSpec& spec() const { return spec_; }
  void set_key(std::string key);  // A new key is tried at once.
  BackendKind kind() const { return kind_; }
  const std::vector<ExternalModel>& models() const { return models_; }
  // The model, with or without ":latest"; null: the server does not have it.
  const ExternalModel* find(std::string_view model) const;
  bool healthy() const { return !error_; }
  // Whether the server was asked at least once: it told its models, or did not answer. False while
  // its key has not arrived.
  bool was_checked() const;
  const std::optional<Error>& error() const { return error_; }
  bool may_be_asked() const;                // The breaker is closed, or it is time for a trial.
  int running() const { return running_; }  // Our requests there.
  int waiting() const { return waiting_; }  // Those of them without a first token.
  BackendSpeed speed(std::string_view model) const;  // `model`: the server's name for it.

  // Errors before the answer began. unavailable, overloaded, internal, unauthenticated: another
  // holder may do better.
  io::Task<Result<std::unique_ptr<ExternalAnswer>>> ask(UpstreamRequest request, io::Call call);
  // The JSON answer with the vectors of `texts` texts. Errors as of ask(), and invalid_argument:
  // the answer would be larger than we take, which is not the server's fault.
  io::Task<Result<std::string>> embed(UpstreamRequest request, size_t texts, io::Call call);
  // One short JSON answer of the server about itself.
  io::Task<Result<std::string>> fetch(std::string method, std::string target, std::string body,
                                      io::Call call);
  void answered();
  // `sent`: when the request that failed was sent. Requests that were under way at the same failure
  // count once.
  void failed(const Error& error, io::TimePoint sent = io::kNever);

 private:
  friend class BackendRequest;
  http::ClientRequest request(std::string method, std::string target, std::string body) const;
  io::Task<Result<std::unique_ptr<http::ClientResponse>>> send(http::ClientRequest request,
                                                               io::Call call);
  Error silence_or(const SilenceLimit& limit, Error error) const;
  Error blamed(Error error) const;  // With this server's name, if it was unreachable or too slow.
  struct Detected {
    BackendKind kind = BackendKind::unknown;
    bool sure = false;
  };
  io::Task<Result<Detected>> detect(io::Call call);
  io::Task<Result<void>> read_models(io::Call call);
  io::Task<void> watch();
  BackendSpeed* speed_to_learn(const std::string& model);  // Null: there is no such model.

  io::World& world_;
  http::Client& client_;
  BackendSpec spec_;
  std::string key_;
  BackendPaces paces_;
  std::shared_ptr<BackendHealth> health_ = std::make_shared<BackendHealth>();
  BackendKind kind_;
  BackendDialect dialect_;
  int doubts_left_;  // Checks that may still find another kind.
  std::vector<ExternalModel> models_;
  std::optional<Error> error_ = Error{Errc::unavailable, "not asked yet"};
  int failures_ = 0, running_ = 0, waiting_ = 0;
  std::map<std::string, BackendSpeed, std::less<>> speeds_;  // Of its models.
  io::TimePoint open_until_{}, failed_at_{};
  bool trying_ = false, checked_ = false;
  bool key_changed_ = false;  // Since the last of watch()'s checks began.
  io::Event key_came_;
  io::TaskGroup tasks_;
};

}  // namespace om::engine
