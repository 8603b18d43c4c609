// Files as responses, over the whole path.
#include "http/range.h"

#include <gtest/gtest.h>

#include "http/loopback_for_test.h"

namespace om::http {
namespace {

// A server of the files in one folder, and a client, in either world.
struct Files {
  io::World& world;
  io::Path path;
  std::string content;
  Server server;
  Client client;
  io::Endpoint at;

  Files(io::World& the_world, const io::Path& folder)
      : world(the_world),
        path(folder + "/file"),
        server(world, {},
               [this](Request& request, BodyReader&, ResponseWriter& response) {
                 return serve(request, response);
               }),
        client(world) {
    for (int i = 0; i < 600'000; i++) content.push_back(static_cast<char>('a' + i % 23));
    EXPECT_TRUE(world.files.make_directories(folder).has_value());
    EXPECT_TRUE(world.files.write_file(path, content).has_value());
    at = server.listen(io::Endpoint::tcp("127.0.0.1", 0)).value();
  }

  io::Task<void> serve(Request& request, ResponseWriter& response) {
    FileToSend file;
    file.path = request.path;
    file.etag = "\"v1\"";
    const auto sent = co_await send_file(world, request, response, std::move(file));
    if (sent) co_return;
    EXPECT_EQ(sent.error().code, Errc::not_found) << sent.error().what;
    const auto told = co_await response.send(404, "text/plain", "no such file");
    EXPECT_TRUE(told.has_value());
  }

  io::Task<void> ask(ClientRequest request, int status, std::string body, std::string range) {
    request.endpoint = at;
    auto response = co_await client.send(std::move(request), {});
    EXPECT_TRUE(response.has_value());
    if (!response) co_return;
    EXPECT_EQ((*response)->status(), status);
    EXPECT_EQ((*response)->headers().get("Content-Range"), range);
    const auto got = co_await (*response)->read_all(1 << 20);
    EXPECT_TRUE(got.has_value() && *got == body);
  }

  io::Task<void> ask_all() {
    ClientRequest get;
    get.target = path;
    co_await ask(get, 200, content, "");
    ClientRequest head = get;
    head.method = "HEAD";
    co_await ask(head, 200, "", "");
    ClientRequest part = get;
    part.headers.set("Range", "bytes=300000-300009");
    co_await ask(part, 206, content.substr(300'000, 10), "bytes 300000-300009/600000");
    part.headers.set("If-Range", "\"v0\"");
    co_await ask(part, 200, content, "");
    part.headers.set("If-Range", "\"v1\"");
    co_await ask(part, 206, content.substr(300'000, 10), "bytes 300000-300009/600000");
    ClientRequest outside = get;
    outside.headers.set("Range", "bytes=600000-");
    co_await ask(outside, 416, "the range is outside the file\n", "bytes */600000");
    ClientRequest known = get;
    known.headers.set("If-None-Match", "W/\"x\", \"v1\"");
    co_await ask(known, 304, "", "");
    ClientRequest missing = get;
    missing.target = path + "-missing";
    co_await ask(missing, 404, "no such file", "");
    client.close_idle();
    co_await server.stop(std::chrono::seconds(1));
  }
};

TEST(SendFile, AnswersWholeFilesPartsAndConditions) {
  sim::World simulated(1);
  Files files(simulated.world(), "/data");
  simulated.run(files.ask_all());
}

// The kernel copies the file here.
TEST(SendFile, AnswersTheSameOverRealSockets) {
  io::RealWorld real;
  const io::Path folder = "/tmp/ollamamax_range_" + real.world().random.letters(8);
  Files files(real.world(), folder);
  real.run_until_done(files.ask_all());
  EXPECT_TRUE(real.world().files.remove_all(folder));
}

}  // namespace
}  // namespace om::http
