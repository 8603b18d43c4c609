#include "scheduler/remote_lease.h"

#include "base/json_fields.h"
#include "scheduler/lease_wire.h"

namespace om::scheduler {
namespace {

constexpr std::chrono::seconds kTellMax{5};

}  // namespace

class RemoteLease final : public Lease {
 public:
  RemoteLease(std::weak_ptr<RemoteLeases*> leases, std::string id,
              std::unique_ptr<engine::RemoteEngine> engine, std::chrono::nanoseconds load_time,
              std::chrono::nanoseconds queue_time)
      : leases_(std::move(leases)),
        id_(std::move(id)),
        engine_(std::move(engine)),
        load_time_(load_time),
        queue_time_(queue_time) {}
  ~RemoteLease() override {
    if (engine_->lost()) return;  // The other node forgets a lease nobody uses by itself.
    if (auto leases = leases_.lock()) (*leases)->give_back(engine_->link(), id_, failed_);
  }
  RemoteLease(const RemoteLease&) = delete;
  RemoteLease& operator=(const RemoteLease&) = delete;

  engine::Engine& engine() override { return *engine_; }
  std::chrono::nanoseconds load_time() const override { return load_time_; }
  std::chrono::nanoseconds queue_time() const override { return queue_time_; }
  void report_failure(const Error&) override { failed_ = true; }
  std::string_view node() const override { return engine_->link().node; }
  bool node_lost() const override { return engine_->lost(); }

 private:
  std::weak_ptr<RemoteLeases*> leases_;
  std::string id_;
  std::unique_ptr<engine::RemoteEngine> engine_;
  std::chrono::nanoseconds load_time_, queue_time_;
  bool failed_ = false;
};

RemoteLeases::RemoteLeases(io::World& world, http::Client& client, cluster::Reports& reports)
    : world_(world),
      client_(client),
      reports_(reports),
      self_(std::make_shared<RemoteLeases*>(this)),
      tasks_(world.executor, world.clock) {}

RemoteLeases::~RemoteLeases() = default;

io::Task<Result<std::unique_ptr<Lease>>> RemoteLeases::acquire(const std::string& node,
                                                               const Target& target,
                                                               const AcquireOptions& options,
                                                               io::Call call) {
  const engine::PeerLink* known = reports_.link_of(node);
  if (!known) co_return fail(Errc::unavailable, "node {} has left", node);
  engine::PeerLink link = *known;
  CO_TRY(std::string body, encode_lease_request(target, options));
  auto request = link.request("POST", "/peer/v1/leases", std::move(body));
  auto reader =
      co_await engine::LineReader::open(world_.clock, client_, link, std::move(request), call);
  if (!reader) {
    Error error = annotate(std::move(reader).error(), "node " + link.node);
    // It takes this node for no member (any more): that says nothing of the request.
    if (error.code == Errc::forbidden) error.code = Errc::unavailable;
    co_return fail(std::move(error));
  }
  CO_TRY(const boost::json::object line, co_await reader->next());
  co_await reader->finish();
  const JsonFields fields(line);
  const boost::json::object* properties = fields.object("properties");
  std::string id = fields.text("id");
  if (id.empty() || !properties) {
    co_return fail(Errc::unavailable, "node {} gave no lease", link.node);
  }
  int64_t load_ns = 0, queue_ns = 0;
  fields.read("load_ns", load_ns);
  fields.read("queue_ns", queue_ns);
  auto engine = std::make_unique<engine::RemoteEngine>(world_, client_, std::move(link), id,
                                                       engine::decode_properties(*properties));
  co_return std::make_unique<RemoteLease>(self_, std::move(id), std::move(engine),
                                          std::chrono::nanoseconds(load_ns),
                                          std::chrono::nanoseconds(queue_ns));
}

void RemoteLeases::give_back(engine::PeerLink link, std::string id, bool failed) {
  std::string target = "/peer/v1/leases/" + id;
  if (failed) target += "?failed=1";
  tasks_.spawn(tell(std::move(link), "DELETE", std::move(target)));
}

bool RemoteLeases::unload(const std::string& node, const Digest& key) {
  const engine::PeerLink* link = reports_.link_of(node);
  if (link) tasks_.spawn(tell(*link, "POST", "/peer/v1/unload/" + key.str()));
  return link != nullptr;
}

io::Task<void> RemoteLeases::tell(engine::PeerLink link, std::string method, std::string target) {
  auto request = link.request(std::move(method), std::move(target));
  const io::Call call = world_.clock.call_within(kTellMax, tasks_.token());
  auto response = co_await client_.send(std::move(request), call);
  if (!response) co_return;
  // Read to the end for the connection's sake; what it says changes nothing here.
  (void)co_await (*response)->read_all(engine::kPulseLine.size() + 1024);
}

io::Task<void> RemoteLeases::stop() {
  self_.reset();
  co_await tasks_.stop();
}

}  // namespace om::scheduler
