// A node that keeps other nodes' answers, for the tests of that.
#pragma once

#include <gtest/gtest.h>

#include "generation/node_records.h"
#include "sim/world.h"

namespace om::generation {

struct RecordsNodeForTest {
  RecordsNodeForTest(sim::World& world, const std::string& name)
      : link{.node = name, .endpoint = io::Endpoint::tcp(name, 1), .tls = nullptr},
        client(world.world()),
        records(world.world(), client, [this] { return others; }),
        server(world.world(), {}, [this, &world](auto& request, auto& body, auto& response) {
          return handle(world.clock(), request, body, response);
        }) {
    EXPECT_TRUE(server.listen(link.endpoint));
  }
  io::Task<void> handle(io::Clock& clock, http::Request& request, http::BodyReader& body,
                        http::ResponseWriter& response) {
    if (delay.count() > 0) (void)co_await clock.sleep_for(delay);
    co_await records.handle(request, body, response);
  }
  io::Task<std::unique_ptr<Recording>> take(Records::Fits fits = {}) {
    auto taken = co_await records.take("a", "f", std::move(fits), {});
    EXPECT_TRUE(taken) << taken.error().what;
    co_return std::move(*taken);
  }

  engine::PeerLink link;
  std::vector<engine::PeerLink> others;  // That it can reach.
  io::Duration delay{};                  // Of its answers.
  http::Client client;
  NodeRecords records;
  http::Server server;
};

}  // namespace om::generation
