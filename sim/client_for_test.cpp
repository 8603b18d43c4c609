#include "sim/client_for_test.h"

#include <boost/json.hpp>

#include "base/check.h"
#include "sim/models_for_test.h"

namespace om::sim {

namespace json = boost::json;

// Of one slow reader: with slices of a few bytes it would read for days of simulated time.
constexpr int kPausesMax = 50;

SimClient::SimClient(World& world, const Scenario& scenario, int number, Exchanges& seen,
                     std::vector<io::Endpoint> gateways)
    : sim_(world),
      scenario_(scenario),
      random_(world.random().next()),
      number_(number),
      seen_(seen),
      gateways_(std::move(gateways)),
      client_(std::make_unique<http::Client>(world.world())) {}

io::Task<void> SimClient::run() {
  for (int i = 0; i < scenario_.requests_each; i++) {
    const auto pause = random_.below(static_cast<uint64_t>(scenario_.pause_max.count()) + 1);
    const auto slept = co_await sim_.clock().sleep_for(io::Duration(pause));
    CHECK(slept.has_value());
    // Some programs open a connection for each request.
    if (!random_.chance(scenario_.pool_chance)) client_->close_idle();
    const auto own = static_cast<size_t>(scenario_.models);
    const size_t drawn = random_.below(own + others.size());
    const int model = drawn < own ? static_cast<int>(drawn) : others[drawn - own];
    Exchange exchange = draw_exchange();
    Manner manner = draw_manner(exchange);
    co_await exchange_with(model, std::move(exchange), manner);
  }
  client_->close_idle();
}

io::Task<void> SimClient::ask(int model, size_t gateway, io::Duration leaves_after) {
  Exchange exchange = draw_exchange();
  exchange.gateway = gateway;
  Manner manner{.deadline = sim_.clock().now() + scenario_.patience};
  if (leaves_after > io::Duration{}) {
    manner.deadline = sim_.clock().now() + leaves_after;
    manner.deadline_is_leaving = true;
  }
  co_await exchange_with(model, std::move(exchange), manner);
  client_->close_idle();
}

Exchange SimClient::draw_exchange() {
  Exchange exchange;
  exchange.client = number_;
  exchange.number = asked_++;
  exchange.route = static_cast<Route>(random_.below(3));
  exchange.stream = random_.chance(0.7);
  exchange.predict = random_.between(1, static_cast<uint64_t>(scenario_.predict_max));
  exchange.prompt = random_.letters(random_.between(1, 200));
  if (gateways_.size() > 1) exchange.gateway = random_.below(gateways_.size());
  return exchange;
}

SimClient::Manner SimClient::draw_manner(Exchange& exchange) {
  Manner manner{.deadline = sim_.clock().now() + scenario_.patience};
  if (random_.chance(scenario_.leave_chance)) {
    if (random_.chance(0.5)) {
      exchange.leaves_after = random_.between(1, 3000);
    } else {
      const io::Duration stays = std::chrono::milliseconds(random_.between(1, 10'000));
      manner.deadline = sim_.clock().now() + stays;
      manner.deadline_is_leaving = true;
    }
  }
  if (random_.chance(scenario_.slow_chance)) {
    exchange.dawdles = random_.chance(0.3);
    manner.pause_max = exchange.dawdles ? io::Duration(std::chrono::seconds(60))
                                        : io::Duration(std::chrono::milliseconds(500));
  }
  return manner;
}

http::ClientRequest SimClient::request_for(const Exchange& exchange, int model) {
  json::object body{{"model", model_name(model)}, {"stream", exchange.stream}};
  const json::array messages{{{"role", "user"}, {"content", exchange.prompt}}};
  http::ClientRequest request;
  switch (exchange.route) {
    case Route::generate:
      request.target = "/api/generate";
      body["prompt"] = exchange.prompt;
      body["raw"] = true;
      body["options"] = {{"num_predict", exchange.predict}};
      break;
    case Route::chat:
      request.target = "/api/chat";
      body["messages"] = messages;
      body["options"] = {{"num_predict", exchange.predict}};
      break;
    case Route::openai_chat:
      request.target = "/v1/chat/completions";
      body["messages"] = messages;
      body["max_tokens"] = exchange.predict;
      if (exchange.stream) body["stream_options"] = {{"include_usage", true}};
      break;
  }
  if (random_.chance(0.1) && exchange.route != Route::openai_chat) body["keep_alive"] = 0;
  // With a smaller one, or a larger one, it may be that it needs no parts, or more than there are.
  const bool any_context = model != scenario_.split_model;
  if (random_.chance(0.1) && exchange.route != Route::openai_chat && any_context) {
    body["options"].as_object()["num_ctx"] = 512 << random_.below(4);
  }
  request.method = "POST";
  request.endpoint = gateways_.at(exchange.gateway);
  request.host = request.endpoint.str();
  request.headers.add("Content-Type", "application/json");
  request.body = json::serialize(body);
  return request;
}

io::Task<void> SimClient::exchange_with(int model, Exchange exchange, Manner manner) {
  http::ClientRequest request = request_for(exchange, model);
  if (exchange.route != Route::generate) exchange.prompt = chat_prompt(exchange.prompt);
  exchange.model = model;
  exchange.begun = sim_.clock().now();
  auto response = co_await client_->send(std::move(request), io::Call{manner.deadline, {}});
  if (response) {
    exchange.status = (*response)->status();
    exchange.served_by = (*response)->headers().get("X-OllamaMax-Node");
    co_await read_answer(**response, exchange, manner);
  } else {
    note_failure(exchange, response.error(), manner);
  }
  exchange.ended = sim_.clock().now();
  seen_.push_back(std::move(exchange));
}

io::Task<void> SimClient::read_answer(http::ClientResponse& response, Exchange& exchange,
                                      const Manner& manner) {
  auto reader = AnswerReader::make(exchange);
  size_t total = 0;
  int pauses = 0;
  io::TimePoint heard{};  // When something of the text came last.
  for (bool more = true; more;) {
    std::string bytes;
    const auto read = co_await response.read_some(bytes);
    if (!read) {
      note_failure(exchange, read.error(), manner);
      co_return;
    }
    more = *read;
    total += bytes.size();
    const size_t before = exchange.text.size();
    reader->take(bytes);
    if (exchange.text.size() > before) {
      const io::TimePoint now = sim_.clock().now();
      if (before > 0) exchange.silence_max = std::max(exchange.silence_max, now - heard);
      heard = now;
    }
    if (more && exchange.leaves_after != 0 && total >= exchange.leaves_after) {
      exchange.left = true;
      co_return;
    }
    if (more && manner.pause_max.count() > 0 && pauses++ < kPausesMax) {
      const auto pause = random_.below(static_cast<uint64_t>(manner.pause_max.count()));
      const auto slept = co_await sim_.clock().sleep_for(io::Duration(pause));
      CHECK(slept.has_value());
    }
  }
  reader->finish();
}

void SimClient::note_failure(Exchange& exchange, const Error& error, const Manner& manner) {
  if (error.code != Errc::deadline_exceeded) {
    exchange.broken = error.what;
  } else {
    (manner.deadline_is_leaving ? exchange.left : exchange.timed_out) = true;
  }
}

}  // namespace om::sim
