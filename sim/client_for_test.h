// Clients of the simulated node: they ask in every dialect, read fast or slowly, and some leave.
#pragma once

#include <memory>
#include <vector>

#include "http/client.h"
#include "sim/oracle_for_test.h"
#include "sim/scenario_for_test.h"
#include "sim/world.h"

namespace om::sim {

// What all clients of a run saw, in the order of their requests' ends.
using Exchanges = std::vector<Exchange>;

// One program that asks for answers, one after another. run() once; must outlive it.
class SimClient {
 public:
  // Asks one of the gateways, which one is drawn for each request.
  SimClient(World& world, const Scenario& scenario, int number, Exchanges& seen,
            std::vector<io::Endpoint> gateways);

  std::vector<int> others;  // Models beyond the scenario's that it asks for too.

  io::Task<void> run();
  // One patient request for the model, read to its end; or left after a while.
  io::Task<void> ask(int model, size_t gateway = 0, io::Duration leaves_after = {});

 private:
  struct Manner {
    io::TimePoint deadline{};
    bool deadline_is_leaving = false;
    io::Duration pause_max{};  // Between two reads.
  };
  Exchange draw_exchange();
  Manner draw_manner(Exchange& exchange);
  http::ClientRequest request_for(const Exchange& exchange, int model);
  io::Task<void> exchange_with(int model, Exchange exchange, Manner manner);
  io::Task<void> read_answer(http::ClientResponse& response, Exchange& exchange,
                             const Manner& manner);
  static void note_failure(Exchange& exchange, const Error& error, const Manner& manner);

  World& sim_;
  const Scenario& scenario_;
  SimRandom random_;
  int number_;
  int asked_ = 0;
  Exchanges& seen_;
  std::vector<io::Endpoint> gateways_;
  std::unique_ptr<http::Client> client_;
};

// Reads one body into an exchange, as it comes.
class AnswerReader {
 public:
  explicit AnswerReader(Exchange& exchange) : exchange_(exchange) {}
  virtual ~AnswerReader() = default;
  virtual void take(std::string_view bytes) = 0;
  virtual void finish() = 0;  // The body is over.

  static std::unique_ptr<AnswerReader> make(Exchange& exchange);

 protected:
  Exchange& exchange_;
};

}  // namespace om::sim
