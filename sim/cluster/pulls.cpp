#include "sim/cluster/pulls.h"

#include "base/check.h"
#include "base/log.h"
#include "http/event_stream.h"
#include "sim/cluster/request_to.h"
#include "sim/models_for_test.h"

namespace om::sim {

namespace json = boost::json;

namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;

constexpr std::string_view kRegistryName = "registry";
// Of a pull: without progress it ends after half a minute, and slow registries are not that slow.
constexpr auto kPatience = minutes(10);
constexpr auto kStaysMax = milliseconds(5'000);
constexpr uint64_t kAnswerBytesMax = 1 << 20;

std::string text_of(const json::object& line, std::string_view key) {
  const json::value* value = line.if_contains(key);
  return value && value->is_string() ? std::string(value->get_string()) : std::string();
}

}  // namespace

Pulls::Pulls(RunParts parts)
    : parts_(std::move(parts)),
      scenario_(parts_.scenario.pulls),
      random_(parts_.world.random().next()),
      disk_(parts_.world.clock()),
      machine_(parts_.world, {std::string(kRegistryName), std::string(kRegistryAddress)}, disk_),
      registry_(machine_.world(), io::Endpoint::tcp(std::string(kRegistryAddress), kRegistryPort)),
      client_(parts_.world.world()) {
  at_best_.ranges = scenario_.ranges;
  at_best_.redirect = scenario_.redirects;
  at_best_.auth = scenario_.login;
  registry_.faults = at_best_;
  for (size_t i = 0; i < scenario_.sizes.size(); i++) {
    const bool is_twin = scenario_.twins && i + 1 == scenario_.sizes.size();
    const size_t weights = is_twin ? 0 : i;
    add_model(scenario_.sizes[weights], kPulledFirst + static_cast<int>(weights));
  }
}

Pulls::~Pulls() = default;

Pulls::Model& Pulls::add_model(uint64_t weights_bytes, int weights) {
  auto model = std::make_unique<Model>();
  model->number = kPulledFirst + static_cast<int>(models_.size());
  ModelFiles files = pulled_model(model->number, weights, weights_bytes);
  for (std::string& blob : files.blobs) {
    const std::string digest = Digest::of(blob).str();
    registry_.blobs[digest] = std::move(blob);
  }
  registry_.manifests[fmt::format("test/m{}:latest", model->number)] = files.manifest.to_json();
  model->manifest = std::move(files.manifest);
  models_.push_back(std::move(model));
  return *models_.back();
}

io::Task<void> Pulls::sleep(io::Duration duration) {
  const auto slept = co_await parts_.world.clock().sleep_for(duration);
  CHECK(slept.has_value());
}

io::Task<void> Pulls::trouble() {
  io::TaskGroup group(parts_.world.world().executor, parts_.world.clock());
  for (const auto& model : models_) group.spawn(operate(*model));
  group.spawn(suffer());
  co_await group.wait();
  heal();
}

io::Task<void> Pulls::operate(Model& model) {
  for (int round = 0; round < scenario_.rounds; round++) {
    co_await sleep(io::Duration(random_.below(static_cast<uint64_t>(scenario_.pause_max.count()))));
    if (round > 0 && random_.chance(scenario_.delete_chance)) {
      co_await remove(model);
    } else {
      co_await pull(model, random_.chance(scenario_.leave_chance));
    }
  }
}

// Through one node, or two at once.
io::Task<void> Pulls::pull(Model& model, bool may_leave) {
  const size_t first = random_.below(parts_.nodes.size());
  const size_t other = (first + random_.between(1, parts_.nodes.size() - 1)) % parts_.nodes.size();
  const io::Duration stays =
      may_leave ? milliseconds(random_.between(1, kStaysMax.count())) : io::Duration(kPatience);
  io::TaskGroup group(parts_.world.world().executor, parts_.world.clock());
  group.spawn(pull_through(model, first, stays));
  if (random_.chance(scenario_.together_chance)) {
    parts_.report.counts["pulls: through two nodes at once"]++;
    co_await sleep(milliseconds(random_.chance(0.5) ? 0 : random_.below(1'000)));
    group.spawn(pull_through(model, other, kPatience));
  }
  co_await group.wait();
}

io::Task<void> Pulls::pull_through(Model& model, size_t number, io::Duration stays) {
  ClusterNode& node = *parts_.nodes[number];
  bool alone = node.is_alone();
  auto request = request_to(
      node, "POST", "/api/pull",
      json::serialize(json::object{{"model", model_name(model.number)}, {"insecure", true}}));
  client_.close_idle();  // Whether a kept one still works would be one more draw.
  log_info("pull", field("model", model.number), field("through", node.name()));
  parts_.report.counts["pulls: asked"]++;
  const bool may_leave = stays < kPatience;
  const auto response =
      co_await client_.send(std::move(request), parts_.world.clock().call_within(stays));
  std::string what;
  End end = End::broken;
  if (response) {
    end = co_await read_end(**response, may_leave, what);
  } else {
    what = response.error().what;
    if (response.error().code == Errc::deadline_exceeded) end = End::left;
  }
  alone |= node.is_alone();
  log_info("pull ended", field("model", model.number), field("through", node.name()),
           field("end", static_cast<int>(end)), field("what", what));
  if (end == End::left && !may_leave) {
    parts_.complain(fmt::format("a pull of m{} by {} never ended", model.number, node.name()));
  }
  note_end(model, number, end, what);
  // On its own a node publishes what it has when it joins.
  if (end == End::done && !alone) {
    model.presence.is_there = true;
  } else {
    model.presence.may_come = true;
  }
}

// `what`: why not.
io::Task<Pulls::End> Pulls::read_end(http::ClientResponse& response, bool may_leave,
                                     std::string& what) {
  http::NdjsonReader lines;
  std::string last;
  for (bool more = true; more;) {
    std::string bytes;
    const auto read = co_await response.read_some(bytes);
    if (!read) {
      what = read.error().what;
      co_return read.error().code == Errc::deadline_exceeded ? End::left : End::broken;
    }
    more = *read;
    std::string_view rest = bytes, line;
    while (true) {
      const auto whole = lines.next(rest, line);
      if (!whole || !*whole) break;
      last = line;
    }
  }
  if (!lines.rest().empty()) last = lines.rest();
  boost::system::error_code failed;
  const json::value value = json::parse(last, failed);
  if (!failed && value.is_object()) {
    what = text_of(value.get_object(), "error");
    if (!what.empty()) co_return End::refused;
    if (text_of(value.get_object(), "status") == "success") co_return End::done;
  }
  parts_.complain(fmt::format("a pull ends without an end: status {}, last '{}'{}",
                              response.status(), last, may_leave ? " (it might leave)" : ""));
  co_return End::broken;
}

void Pulls::note_end(Model& model, size_t number, End end, const std::string& what) {
  constexpr std::string_view kCounts[] = {"pulls: done", "pulls: refused", "pulls: left",
                                          "pulls: broken"};
  parts_.report.counts[std::string(kCounts[static_cast<size_t>(end)])]++;
  const bool through_anchor = number < static_cast<size_t>(parts_.scenario.anchors);
  const bool must_end = through_anchor && parts_.scenario.anchors_hold();
  const bool is_wrong =
      (end != End::done && (scenario_.calm || healed_)) || (end == End::broken && must_end);
  if (!is_wrong) return;
  parts_.complain(fmt::format("a pull of m{} by n{} failed: {}", model.number, number, what));
}

io::Task<void> Pulls::remove(Model& model) {
  ClusterNode& node = *parts_.nodes[random_.below(parts_.nodes.size())];
  bool alone = node.is_alone();
  auto request = request_to(node, "DELETE", "/api/delete",
                            json::serialize(json::object{{"model", model_name(model.number)}}));
  client_.close_idle();
  model.deletions++;
  int status = 0;
  const auto response =
      co_await client_.send(std::move(request), parts_.world.clock().call_within(kPatience));
  if (response) {
    const auto body = co_await (*response)->read_all(kAnswerBytesMax);
    if (body) status = (*response)->status();
  }
  alone |= node.is_alone();
  log_info("deleted", field("model", model.number), field("through", node.name()),
           field("status", status));
  parts_.report.counts[status == 200 ? "pulls: deleted" : "pulls: not deleted"]++;
  if (status == 404) co_return;  // Who finds no such model has changed nothing.
  if (status == 200 && !alone) {
    model.presence.is_there = false;
  } else {
    model.presence.may_go = true;
  }
}

io::Task<void> Pulls::suffer() {
  const io::TimePoint begun = parts_.world.clock().now();
  for (const RegistryEpisode& episode : scenario_.episodes) {
    const io::TimePoint due = begun + episode.at;
    if (due > parts_.world.clock().now()) co_await sleep(due - parts_.world.clock().now());
    log_info("the registry suffers", field("fault", to_string(episode.fault)),
             field("lasts", episode.lasts));
    parts_.report.counts[fmt::format("registry: {}", to_string(episode.fault))]++;
    begin(episode.fault);
    co_await sleep(episode.lasts);
    log_info("the registry is well again");
    heal();
  }
}

void Pulls::begin(RegistryFault fault) {
  RegistryFaults& faults = registry_.faults;
  switch (fault) {
    case RegistryFault::wrong_bytes:
      faults.wrong_bytes = true;
      return;
    case RegistryFault::endless:
      faults.endless = true;
      return;
    case RegistryFault::lies_about_size:
      faults.lie_about_size = true;
      return;
    case RegistryFault::cuts:
      faults.cut_after = random_.between(1, 4 << 20);
      return;
    case RegistryFault::stalls:
      faults.stalls_left = static_cast<int>(random_.between(1, 6));
      return;
    case RegistryFault::refuses:
      faults.refusals_left = static_cast<int>(random_.between(1, 8));
      return;
    case RegistryFault::slow:
      faults.bytes_per_second = random_.between(50'000, 2'000'000);
      return;
    case RegistryFault::cut_off:
      return cut_off(Word::none);
    case RegistryFault::resets:
      return cut_off(Word::reset);
  }
}

void Pulls::cut_off(Word word) {
  const double from_each = random_.chance(0.5) ? 1 : 0.5;
  const std::string registry(kRegistryName);
  for (const auto& node : parts_.nodes) {
    if (!random_.chance(from_each)) continue;
    parts_.world.network().cut(registry, node->name(), word);
    parts_.world.network().cut(node->name(), registry, word);
  }
}

void Pulls::heal() {
  registry_.faults = at_best_;
  const std::string registry(kRegistryName);
  for (const auto& node : parts_.nodes) {
    parts_.world.network().heal(registry, node->name());
    parts_.world.network().heal(node->name(), registry);
  }
}

io::Task<void> Pulls::stop() {
  client_.close_idle();
  parts_.report.counts["registry: KiB drawn"] += static_cast<int>(registry_.blob_bytes_sent >> 10);
  co_await registry_.stop();
}

}  // namespace om::sim
