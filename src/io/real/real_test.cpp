// The real outside world against itself: sockets on loopback, files, children.
#include "io/real.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "io/co_assert_for_test.h"
#include "io/event.h"
#include "io/task_group.h"

namespace om::io {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::string temporary_directory() {
  std::string path = "/tmp/ollamamax_io_XXXXXX";
  EXPECT_NE(mkdtemp(path.data()), nullptr);
  return path;
}

Task<void> echo(Listener& listener) {
  auto stream = co_await listener.accept();
  EXPECT_TRUE(stream.has_value());
  std::array<char, 70'000> buffer;
  while (true) {
    const auto count = co_await (*stream)->read_some(buffer);
    if (!count || *count == 0) break;
    const auto written = co_await (*stream)->write(std::string_view(buffer.data(), *count));
    if (!written) break;
  }
}

Task<void> send_all(Stream& stream, const std::string& data) {
  const std::string_view all = data;
  const std::array<std::string_view, 3> parts{all.substr(0, 7), all.substr(7, 100),
                                              all.substr(107)};
  const auto written = co_await stream.write(parts);
  EXPECT_TRUE(written.has_value());
}

Task<void> round_trip(World& world, Endpoint at) {
  auto listener = world.network.listen(at, nullptr);
  EXPECT_TRUE(listener.has_value()) << (listener ? "" : listener.error().what);
  TaskGroup group(world.executor, world.clock);
  group.spawn(echo(**listener));
  auto stream = co_await world.network.connect((*listener)->local(), nullptr,
                                               world.clock.call_within(seconds(5)));
  EXPECT_TRUE(stream.has_value());
  EXPECT_TRUE((*stream)->is_idle());
  std::string data(3'000'000, 'x');
  for (size_t i = 0; i < data.size(); i++) data[i] = static_cast<char>(i * 31);
  group.spawn(send_all(**stream, data));
  std::string back;
  std::array<char, 65'536> buffer;
  while (back.size() < data.size()) {
    const auto count = co_await (*stream)->read_some(buffer);
    EXPECT_TRUE(count.has_value());
    if (!count || *count == 0) break;
    back.append(buffer.data(), *count);
  }
  EXPECT_EQ(back, data);
  stream->reset();
  co_await group.wait();
}

TEST(Network, CarriesBytesOverTcp) {
  RealWorld world;
  world.run_until_done(round_trip(world.world(), Endpoint::tcp("127.0.0.1", 0)));
}

TEST(Network, CarriesBytesOverAUnixSocket) {
  RealWorld world;
  const std::string directory = temporary_directory();
  world.run_until_done(round_trip(world.world(), Endpoint::unix_socket(directory + "/s")));
  EXPECT_TRUE(world.world().files.remove_all(directory).has_value());
}

Task<void> receive_into(Stream& stream, size_t size, std::string& data) {
  std::array<char, 65'536> buffer;
  while (data.size() < size) {
    const auto count = co_await stream.read_some(buffer);
    EXPECT_TRUE(count.has_value());
    if (!count || *count == 0) break;
    data.append(buffer.data(), *count);
  }
}

Task<void> copy_file(World& world, std::string path, std::string& received, Errc& past_end,
                     Errc& after_close) {
  auto listener = world.network.listen(Endpoint::tcp("127.0.0.1", 0), nullptr);
  auto file = world.files.open(path, Filesystem::Open::read);
  const uint64_t size = (*file)->size().value();
  auto to = co_await world.network.connect((*listener)->local(), nullptr, {});
  auto from = co_await (*listener)->accept();
  TaskGroup group(world.executor, world.clock);
  group.spawn(receive_into(**from, size - 10, received));
  for (uint64_t at = 10; at < size;) {
    const auto sent = co_await (*to)->send_file(**file, at, size - at);
    EXPECT_TRUE(sent.has_value()) << (sent ? "" : sent.error().what);
    if (!sent) break;
    at += *sent;
  }
  co_await group.wait();
  past_end = (co_await (*to)->send_file(**file, size, 1)).error().code;
  from->reset();
  Result<uint64_t> sent;
  while (sent) sent = co_await (*to)->send_file(**file, 0, size);
  after_close = sent.error().code;
}

TEST(Stream, SendsAFileTheKernelCopiesAndTellsItsEndFromALostPeer) {
  RealWorld world;
  const std::string directory = temporary_directory();
  std::string data(20'000'000, 'x');
  for (size_t i = 0; i < data.size(); i++) data[i] = static_cast<char>(i * 31 >> 3);
  ASSERT_TRUE(world.world().files.write_file(directory + "/f", data));
  std::string received;
  Errc past_end{}, after_close{};
  world.run_until_done(copy_file(world.world(), directory + "/f", received, past_end, after_close));
  EXPECT_TRUE(received == data.substr(10));
  EXPECT_EQ(past_end, Errc::io_failed);
  EXPECT_EQ(after_close, Errc::unavailable);
  EXPECT_TRUE(world.world().files.remove_all(directory));
}

Task<void> failing_connects(World& world, std::vector<Errc>& codes) {
  auto listener = world.network.listen(Endpoint::tcp("127.0.0.1", 0), nullptr);
  const Endpoint closed = (*listener)->local();
  listener->reset();
  const auto call = world.clock.call_within(seconds(5));
  const auto refused = co_await world.network.connect(closed, nullptr, call);
  codes.push_back(refused.error().code);
  const Endpoint nobody = Endpoint::tcp("name.invalid", 1);
  const auto unknown = co_await world.network.connect(nobody, nullptr, call);
  codes.push_back(unknown.error().code);
}

TEST(Network, TellsRefusedFromUnknown) {
  // The machine's own name server may be absent or silent, or answer every name.
  RealWorld world({.ask_name = [](const std::string&) -> NameAnswer { return {EAI_NONAME, {}}; }});
  std::vector<Errc> codes;
  world.run_until_done(failing_connects(world.world(), codes));
  EXPECT_EQ(codes, (std::vector<Errc>{Errc::unavailable, Errc::not_found}));
}

// Of this process's connection to a port of its own, as the kernel has it.
milliseconds silence_max_towards(const Endpoint& to) {
  for (int descriptor = 3; descriptor < 1024; descriptor++) {
    sockaddr_in peer{};
    socklen_t size = sizeof(peer);
    if (getpeername(descriptor, reinterpret_cast<sockaddr*>(&peer), &size) != 0) continue;
    if (peer.sin_family != AF_INET || ntohs(peer.sin_port) != to.port) continue;
    unsigned silence_ms = 0;
    size = sizeof(silence_ms);
    EXPECT_EQ(getsockopt(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, &silence_ms, &size), 0);
    return milliseconds(silence_ms);
  }
  return {};
}

Task<void> open_a_way(Listener& listener) {
  auto stream = co_await listener.accept();
  CO_ASSERT(stream.has_value());
  std::array<char, 1000> request;
  const auto asked = co_await (*stream)->read_some(request);
  const auto told = co_await (*stream)->write("HTTP/1.1 200 OK\r\n\r\n");
  EXPECT_TRUE(asked && told);
}

Task<void> connect_inside_and_out(World& world, milliseconds& inside, milliseconds& outside) {
  auto listener = world.network.listen(Endpoint::tcp("127.0.0.1", 0), nullptr);
  const Endpoint at = (*listener)->local();
  const auto call = world.clock.call_within(seconds(5));
  auto peer = co_await world.network.connect(at, nullptr, call);
  CO_ASSERT(peer.has_value());
  inside = silence_max_towards(at);
  peer->reset();
  const auto gone = co_await (*listener)->accept();
  TaskGroup group(world.executor, world.clock);
  group.spawn(open_a_way(**listener));
  const Proxy proxy{.at = at, .authorization = {}};
  const auto server =
      co_await world.network.connect_through(proxy, Endpoint::tcp("registry", 443), nullptr, call);
  EXPECT_TRUE(gone && server);
  outside = silence_max_towards(at);
  co_await group.wait();
}

// Else the kernel ends an upload that a registry has stopped reading for half a minute.
TEST(Network, IsMorePatientWithServersOutsideThanWithPeers) {
  RealWorld world;
  milliseconds inside{}, outside{};
  world.run_until_done(connect_inside_and_out(world.world(), inside, outside));
  EXPECT_EQ(inside, seconds(30));
  EXPECT_GT(outside, seconds(120));
}

Task<void> read_into(Stream& stream, Errc& code) {
  std::array<char, 16> buffer;
  const auto count = co_await stream.read_some(buffer);
  EXPECT_FALSE(count.has_value());
  if (!count) code = count.error().code;
}

Task<void> silent_peer(World& world, Errc& late, Errc& aborted) {
  auto listener = world.network.listen(Endpoint::tcp("127.0.0.1", 0), nullptr);
  const Endpoint at = (*listener)->local();
  auto first = co_await world.network.connect(at, nullptr, {});
  (*first)->set_deadline(world.clock.now() + milliseconds(10));
  co_await read_into(**first, late);
  auto second = co_await world.network.connect(at, nullptr, {});
  TaskGroup group(world.executor, world.clock);
  group.spawn(read_into(**second, aborted));
  (void)co_await world.clock.sleep_for(milliseconds(5));
  (*second)->abort();
  co_await group.wait();
}

TEST(Stream, EndsAtItsDeadlineAndOnAbort) {
  RealWorld world;
  Errc late{}, aborted{};
  world.run_until_done(silent_peer(world.world(), late, aborted));
  EXPECT_EQ(late, Errc::deadline_exceeded);
  EXPECT_EQ(aborted, Errc::cancelled);
}

Task<void> write_after(World& world, Listener& listener, Duration wait) {
  auto stream = co_await listener.accept();
  (void)co_await world.clock.sleep_for(wait);
  const auto written = co_await (*stream)->write("late");
  EXPECT_TRUE(written.has_value());
}

Task<void> read_while_frozen(World& world, Result<size_t>& count) {
  auto listener = world.network.listen(Endpoint::tcp("127.0.0.1", 0), nullptr);
  auto stream = co_await world.network.connect((*listener)->local(), nullptr, {});
  TaskGroup group(world.executor, world.clock);
  group.spawn(write_after(world, **listener, seconds(2)));
  (void)co_await world.clock.sleep_for(milliseconds(1));  // It waits by now.
  (*stream)->set_deadline(world.clock.now() + milliseconds(1500));
  std::this_thread::sleep_for(milliseconds(1900));
  std::array<char, 8> buffer;
  count = co_await (*stream)->read_some(buffer);
  co_await group.wait();
}

TEST(Stream, BlamesNobodyForATimeInWhichThisProcessStoodStill) {
  RealWorld world;
  Result<size_t> count;
  world.run_until_done(read_while_frozen(world.world(), count));
  EXPECT_TRUE(count.has_value()) << count.error().what;
}

TEST(Filesystem, ReplacesFilesAtOnceAndListsThemSorted) {
  RealWorld world;
  Filesystem& files = world.world().files;
  const std::string directory = temporary_directory();
  ASSERT_TRUE(files.write_file(directory + "/b", "one").has_value());
  ASSERT_TRUE(files.write_file(directory + "/b", "two").has_value());
  ASSERT_TRUE(files.write_file(directory + "/a", "three").has_value());
  EXPECT_EQ(files.read_file(directory + "/b", 100).value(), "two");
  EXPECT_EQ(files.read_file(directory + "/b", 2).error().code, Errc::overloaded);
  EXPECT_EQ(files.read_file(directory + "/c", 2).error().code, Errc::not_found);
  EXPECT_EQ(files.list(directory).value(), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(files.open(directory + "/a", Filesystem::Open::create_new).error().code,
            Errc::already_exists);
  EXPECT_TRUE(files.remove_all(directory).has_value());
}

TEST(Filesystem, ALeftoverOfAnEarlierLifeWithTheSameIdIsNoHindrance) {
  std::string before;
  {
    RealWorld world;
    before = world.world().files.unique_suffix();
  }
  RealWorld world;
  EXPECT_NE(world.world().files.unique_suffix(), before);
  EXPECT_EQ(world.world().files.unique_suffix(), world.world().files.unique_suffix());
}

Task<void> run_child(World& world, SpawnOptions options, std::vector<std::string>& lines,
                     ExitStatus& status) {
  auto child = world.processes.spawn(std::move(options));
  EXPECT_TRUE(child.has_value());
  while (true) {
    const auto line = co_await (*child)->read_line({});
    EXPECT_TRUE(line.has_value());
    if (!line || !*line) break;
    lines.push_back(**line);
  }
  const auto ended = co_await (*child)->wait({});
  status = ended.value();
}

TEST(Processes, GiveLinesAndTheExitStatus) {
  RealWorld world;
  std::vector<std::string> lines;
  ExitStatus status;
  SpawnOptions options;
  options.argv = {"/bin/sh", "-c", "echo $GREETING; echo two >&2; printf three; exit 3"};
  options.environment = {{"GREETING", "hello"}};
  world.run_until_done(run_child(world.world(), std::move(options), lines, status));
  EXPECT_EQ(lines, (std::vector<std::string>{"hello", "two", "three"}));
  EXPECT_EQ(status.code, 3);
}

TEST(Processes, GetOnlyWhatIsKeptOfTheEnvironmentIfAskedTo) {
  RealWorld world;
  ASSERT_EQ(::setenv("A_SECRET", "not for children", 1), 0);
  std::vector<std::string> lines;
  ExitStatus status;
  SpawnOptions options;
  options.argv = {"/usr/bin/env"};
  options.environment = {{"GREETING", "hello"}};
  options.environment_kept = {"PATH", "GREETING", "NOWHERE"};
  world.run_until_done(run_child(world.world(), std::move(options), lines, status));
  ::unsetenv("A_SECRET");
  std::ranges::sort(lines);
  ASSERT_EQ(lines.size(), 2);
  EXPECT_EQ(lines[0], "GREETING=hello");
  EXPECT_TRUE(lines[1].starts_with("PATH="));
}

TEST(Processes, EndFirstWhenMemoryRunsOutIfAskedTo) {
  RealWorld world;
  const auto score_of_child = [&world](bool ends_first) {
    std::vector<std::string> lines;
    ExitStatus status;
    SpawnOptions options;
    options.argv = {"/bin/cat", "/proc/self/oom_score_adj"};
    options.ends_first = ends_first;
    world.run_until_done(run_child(world.world(), std::move(options), lines, status));
    return lines.empty() ? "" : lines.front();
  };
  EXPECT_EQ(score_of_child(true), "500");
  EXPECT_NE(score_of_child(false), "500");
}

Task<void> read_from_a_silent_child(World& world, Errc& late, std::string& line) {
  const std::string directory = temporary_directory(), sign = directory + "/sign";
  SpawnOptions options;
  options.argv = {"/bin/sh", "-c", "until [ -e " + sign + " ]; do sleep 0.01; done; echo heard"};
  auto child = world.processes.spawn(std::move(options));
  EXPECT_TRUE(child.has_value());
  const auto nothing = co_await (*child)->read_line(world.clock.call_within(milliseconds(20)));
  if (!nothing) late = nothing.error().code;
  EXPECT_TRUE(world.files.write_file(sign, "").has_value());
  const auto heard = co_await (*child)->read_line({});
  if (heard && *heard) line = **heard;
  EXPECT_TRUE(world.files.remove_all(directory).has_value());
}

TEST(Processes, ThatSayNothingAreNotWaitedForLongerThanTheirDeadline) {
  RealWorld world;
  Errc late{};
  std::string line;
  world.run_until_done(read_from_a_silent_child(world.world(), late, line));
  EXPECT_EQ(late, Errc::deadline_exceeded);
  EXPECT_EQ(line, "heard") << "what it says later is read";
}

TEST(Processes, SayWhenThereIsNoSuchProgram) {
  RealWorld world;
  SpawnOptions options;
  options.argv = {"/no/such/program"};
  const auto child = world.world().processes.spawn(std::move(options));
  ASSERT_FALSE(child.has_value());
  EXPECT_EQ(child.error().code, Errc::not_found);
}

Task<void> kill_and_wait(World& world, ExitStatus& status) {
  SpawnOptions options;
  options.argv = {"/bin/sh", "-c", "echo up; kill -STOP $$; echo went on"};
  auto child = world.processes.spawn(std::move(options));
  EXPECT_EQ((co_await (*child)->read_line({})).value(), "up");
  EXPECT_TRUE((*child)->running());
  const ProcessMemory memory = (*child)->memory();
  EXPECT_GT(memory.anonymous, 0u);
  EXPECT_GT(memory.resident, memory.anonymous) << "the program itself is a mapped file";
  (*child)->signal(SIGKILL);
  const auto ended = co_await (*child)->wait({});
  status = ended.value();
}

TEST(Processes, TellTheSignalThatEndedThem) {
  RealWorld world;
  ExitStatus status;
  world.run_until_done(kill_and_wait(world.world(), status));
  EXPECT_EQ(status.signal, SIGKILL);
}

// A parent that is killed takes its children along, whatever they are doing.
TEST(Processes, DieWithAParentThatIsKilled) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t parent_pid = fork();
  if (parent_pid == 0) {
    close(ends[0]);
    RealWorld world;
    SpawnOptions options;
    options.argv = {"/bin/sleep", "1000"};
    auto child = world.world().processes.spawn(std::move(options));
    const int pid = (*child)->pid();
    if (write(ends[1], &pid, sizeof(pid)) < 0) _exit(1);
    pause();
    _exit(0);
  }
  int pid = 0;
  ASSERT_EQ(read(ends[0], &pid, sizeof(pid)), static_cast<ssize_t>(sizeof(pid)));
  kill(parent_pid, SIGKILL);
  ASSERT_EQ(waitpid(parent_pid, nullptr, 0), parent_pid);
  // The orphan may wait as a zombie for init; a zombie runs no more.
  bool running = true;
  for (int i = 0; i < 500 && running; i++) {
    usleep(10'000);
    const std::string path = "/proc/" + std::to_string(pid) + "/stat";
    FILE* file = fopen(path.c_str(), "r");
    char state = 'Z';
    if (file != nullptr) {
      if (fscanf(file, "%*d (sleep) %c", &state) != 1) state = 'Z';
      fclose(file);
    }
    running = state != 'Z';
  }
  EXPECT_FALSE(running);
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
}  // namespace om::io
