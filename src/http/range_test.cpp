// Files as responses, over the whole path.
#include "http/range.h"

#include <gtest/gtest.h>

#include "http/loopback_for_test.h"

namespace om::http {
namespace {

constexpr std::string_view kPath = "/data/file";

struct Files {
  sim::World simulated{1};
  std::string content;
  Server server;
  Client client;
  io::Endpoint at;

  Files()
      : server(simulated.world(), {},
               [this](Request& request, BodyReader&, ResponseWriter& response) {
                 return serve(request, response);
               }),
        client(simulated.world()) {
    for (int i = 0; i < 600'000; i++) content.push_back(static_cast<char>('a' + i % 23));
    EXPECT_TRUE(simulated.files().make_directories("/data").has_value());
    EXPECT_TRUE(simulated.files().write_file(std::string(kPath), content).has_value());
    at = server.listen(io::Endpoint::tcp("127.0.0.1", 0)).value();
  }

  io::Task<void> serve(Request& request, ResponseWriter& response) {
    FileToSend file;
    file.path = request.path;
    file.etag = "\"v1\"";
    const auto sent = co_await send_file(simulated.world(), request, response, std::move(file));
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
    get.target = kPath;
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
    missing.target = "/data/missing";
    co_await ask(missing, 404, "no such file", "");
    client.close_idle();
    co_await server.stop(std::chrono::seconds(1));
  }
};

TEST(SendFile, AnswersWholeFilesPartsAndConditions) {
  Files files;
  files.simulated.run(files.ask_all());
}

}  // namespace
}  // namespace om::http
