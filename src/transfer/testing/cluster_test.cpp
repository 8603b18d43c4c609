// The nodes that the tests of this room copy blobs between.
#include "transfer/testing/cluster.h"

#include "http/forwarding_writer.h"
#include "transfer/download.h"

namespace om::transfer::testing {
namespace {

// Lets a test slow a node's answers down.
class SlowWriter final : public http::ForwardingWriter {
 public:
  SlowWriter(http::ResponseWriter& inner, Bandwidth& bandwidth, bool garbage, uint64_t& sent)
      : ForwardingWriter(inner), bandwidth_(bandwidth), garbage_(garbage), sent_(sent) {}
  io::Task<Result<void>> write(std::string_view data) override {
    constexpr size_t kPiece = 64 * 1024;
    for (size_t at = 0; at < data.size(); at += kPiece) {
      std::string piece(data.substr(at, kPiece));
      if (garbage_) piece[piece.size() / 2] ^= 1;
      CO_TRY_VOID(co_await bandwidth_.take(piece.size(), {}));
      CO_TRY_VOID(co_await inner_.write(piece));
      sent_ += piece.size();
    }
    co_return Result<void>{};
  }

 private:
  Bandwidth& bandwidth_;
  bool garbage_;
  uint64_t& sent_;
};

}  // namespace

ClusterNode::ClusterNode(io::World& the_world, Facts& facts, std::string its_name,
                         std::function<cluster::View()> view)
    : world(the_world),
      name(std::move(its_name)),
      metadata(world.clock, facts),
      links{name, metadata, std::move(view), nullptr} {}

ClusterNode::~ClusterNode() = default;

io::Task<void> ClusterNode::start() {
  auto opened = co_await store::Store::open(world, folder(), false);
  CHECK(opened.has_value());
  store = std::move(*opened);
  client = std::make_unique<http::Client>(world);
  incoming = std::make_unique<IncomingTable>();
  lists = std::make_unique<ChunkLists>(world, *store,
                                       [this](const Digest& digest) { corrupt.push_back(digest); });
  receiving = std::make_unique<Bandwidth>(world.clock, 0);
  sending = std::make_unique<Bandwidth>(world.clock, 0);
  peer_blobs = std::make_unique<PeerBlobs>(world, *store, *incoming, *lists, *sending);
  TransferOptions options;
  options.key_path = folder() + "/key";
  context = std::make_unique<Context>(Context{world, *store, *client, options, incoming.get()});
  context->links = &links;
  const FetchParts parts{world, *store, *client, links, *incoming, *receiving};
  downloads = std::make_unique<DownloadTable>(
      world, [parts](std::shared_ptr<Registry> registry, Digest digest, uint64_t size) {
        return std::make_shared<ClusterFetch>(parts, std::move(registry), digest, size);
      });
  http::ServerLimits limits;
  limits.write_idle_max = std::chrono::seconds(5);  // As between real nodes.
  server = std::make_unique<http::Server>(
      world, limits,
      [this](http::Request& request, http::BodyReader&, http::ResponseWriter& response) {
        return serve(request, response);
      });
  at = server->listen(io::Endpoint::tcp("127.0.0.1", 0)).value();
  metadata.reachable = true;
}

io::Task<void> ClusterNode::serve(http::Request& request, http::ResponseWriter& response) {
  Bandwidth speed(world.clock, slow_down);
  SlowWriter writer(response, speed, send_garbage, bytes_asked);
  const bool ours = co_await peer_blobs->handle(request, writer);
  CHECK(ours);
}

io::Task<void> ClusterNode::stop() {
  co_await downloads->stop();
  co_await server->stop(std::chrono::seconds(0));
  co_await lists->stop();
  server.reset();
  downloads.reset();
  peer_blobs.reset();
  lists.reset();
  context.reset();
  client.reset();
  store.reset();
}

io::Task<void> ClusterNode::kill() {
  metadata.reachable = false;
  state = cluster::NodeState::unreachable;
  reported = world.clock.now();
  co_await stop();
}

cluster::NodeInfo ClusterNode::info() const {
  cluster::NodeInfo info;
  info.name = name;
  info.state = state;
  info.peer = at;
  info.reported = alive() ? world.clock.now() : reported;
  info.disk_free = uint64_t{1} << 40;
  auto blobs = std::make_shared<std::vector<Digest>>();
  if (const auto names = world.files.list(folder() + "/blobs"); names && tells_blobs) {
    for (const std::string& file : *names) {
      if (const auto digest = Digest::parse(file)) blobs->push_back(*digest);
    }
  }
  blobs->insert(blobs->end(), told_besides.begin(), told_besides.end());
  std::ranges::sort(*blobs);
  info.blobs = std::move(blobs);
  return info;
}

io::Task<Result<void>> ClusterNode::fetch(std::shared_ptr<Registry> registry, Digest digest,
                                          uint64_t size, io::Call call) {
  const ProgressSink sink = [this](Progress line) { return ignore(std::move(line)); };
  co_return co_await downloads->fetch(std::move(registry), digest, size, sink, std::move(call));
}

uint64_t ClusterNode::present(const Digest& digest) const {
  const auto blob = incoming ? incoming->find(digest) : nullptr;
  return blob ? blob->bytes_present() : 0;
}

ClusterWorld::~ClusterWorld() {
  for (auto& node : nodes_) {
    if (node->alive()) sim_.run(node->stop());
  }
  sim_.run(registry_.stop());
}

void ClusterWorld::make_nodes(size_t count) {
  sim_.workers().job_max = kJobMax;
  for (size_t i = 0; i < count; i++) {
    nodes_.push_back(std::make_unique<ClusterNode>(
        world_, facts_, std::string(1, static_cast<char>('a' + i)), [this] { return view(); }));
    sim_.run(nodes_.back()->start());
  }
}

cluster::View ClusterWorld::view() const {
  std::vector<cluster::NodeInfo> infos;
  for (const auto& node : nodes_) infos.push_back(node->info());
  return cluster::View::of(std::move(infos)).value();
}

std::shared_ptr<Registry> ClusterWorld::registry_for(ClusterNode& node, std::string_view model,
                                                     bool insecure) {
  const auto name = model::Name::parse(fmt::format("{}/test/{}", registry_.host(), model)).value();
  return Registry::open(*node.context, name, insecure).value();
}

io::Task<void> ClusterWorld::fetch_into(ClusterNode& node, std::shared_ptr<Registry> registry,
                                        Digest digest, uint64_t size, Result<void>& result) {
  result = co_await node.fetch(std::move(registry), digest, size, {});
}

std::vector<Result<void>> ClusterWorld::fetch_all(const std::vector<size_t>& which,
                                                  const std::string& data, bool from_registry) {
  std::vector<Result<void>> results(which.size());
  io::TaskGroup group(world_.executor, world_.clock);
  for (size_t i = 0; i < which.size(); i++) {
    ClusterNode& node = *nodes_[which[i]];
    group.spawn(fetch_into(node, from_registry ? registry_for(node) : nullptr, Digest::of(data),
                           data.size(), results[i]));
  }
  sim_.run(group.wait());
  return results;
}

void ClusterWorld::put(ClusterNode& node, const std::string& data) {
  EXPECT_TRUE(wait(node.store->put_blob(data)));
}

std::string ClusterWorld::put_model(size_t index, const model::Name& name,
                                    const std::string& layer) {
  put(node(index), layer);
  put(node(index), "{}");
  std::string bytes = manifest_of(layer);
  const auto done = wait(node(index).store->put_manifest(name, bytes));
  EXPECT_TRUE(done) << done.error().what;
  return bytes;
}

std::string ClusterWorld::manifest_of(const std::string& layer) {
  model::Manifest manifest;
  manifest.config = {std::string(model::kConfigMediaType), Digest::of("{}"), 2, ""};
  manifest.layers = {
      {std::string(model::kLayerMediaPrefix) + "model", Digest::of(layer), layer.size(), ""}};
  return manifest.to_json();
}

bool ClusterWorld::has(ClusterNode& node, const std::string& data) {
  const auto read = node.store->read_blob(Digest::of(data), data.size());
  return read && *read == data;
}

}  // namespace om::transfer::testing
