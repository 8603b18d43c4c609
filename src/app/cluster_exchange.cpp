// The part of ClusterParts by which nodes hand each other what they have: models, and the keys of
// backends.
#include <algorithm>

#include "app/cluster_parts.h"
#include "base/log.h"
#include "store/model_loader.h"

namespace om::app {
namespace {

constexpr std::chrono::seconds kStageMax{10};
constexpr std::string_view kBackendKeys = "/peer/v1/backend-keys/";

// Only members get here: the port between nodes asks for their certificates.
io::Task<void> hand_over_key(cluster::BackendTable& table, http::Request& request,
                             http::ResponseWriter& response) {
  auto key = table.key_of(request.path.substr(kBackendKeys.size()));
  const int status = key ? 200 : 404;
  (void)co_await response.send(status, "text/plain", key ? std::move(*key) : std::string());
}

}  // namespace

void ClusterParts::open_distribution(http::Client& client, transfer::TransferOptions options) {
  transfer::ClusterLinks links{state_.name, *metadata_, [this] { return reports_->view(); },
                               [this](const cluster::NodeInfo& node) {
                                 const engine::PeerLink* link = reports_->link_of(node.name);
                                 return link ? link->tls : nullptr;
                               }};
  transfer::DistributionOptions distribution;
  distribution.transfer = std::move(options);
  distribution.replicas.grace = settings_.node_grace;
  distribution.replicas.surplus_grace = settings_.surplus_grace;
  distribution.replicas.tombstone_age =
      std::max<io::Duration>(distribution.replicas.tombstone_age, settings_.certificate_life);
  distribution.replicas.newcomer = state_.newcomer;
  distribution.replicas.settled = [this] {
    state_.newcomer = false;
    // One that has left meanwhile would be in a cluster again, without its keys.
    if (!load_cluster_state(world_.files, directory_)) return;
    const auto saved = save_cluster_state(world_.files, directory_, state_);
    // It is looked at once more at the next start.
    if (!saved) log_warn("the state is not saved", field("error", saved.error()));
  };
  distribution.scrub.state_file = io::join(directory_, "scrub.json");
  distribution.receive_bytes_per_second = settings_.receive_rate_max;
  distribution.send_bytes_per_second = settings_.send_rate_max;
  distribution_ = std::make_unique<transfer::Distribution>(world_, disk_, client, std::move(links),
                                                           *catalogue_, std::move(distribution));
  distribution_->catalogue().describe_with([this](model::Name name, std::string bytes) {
    return describe(std::move(name), std::move(bytes));
  });
  local_->on_doubt([this](const scheduler::Target& target) {
    for (const auto& file : target.files) distribution_->scrubber().suspect(file.digest);
  });
  peer_server_->mount("/peer/v1/blobs/", [this](http::Request& request, http::BodyReader&,
                                                http::ResponseWriter& response) {
    return serve_blob(request, response);
  });
}

io::Task<void> ClusterParts::serve_blob(http::Request& request, http::ResponseWriter& response) {
  const bool answered = co_await distribution_->peer_blobs().handle(request, response);
  if (!answered) (void)co_await response.send(404, "text/plain", "no such blob\n");
}

// What the catalogue keeps of a model whose blobs are on this disk.
io::Task<Result<std::string>> ClusterParts::describe(model::Name name, std::string bytes) {
  store::StoredManifest stored;
  stored.name = std::move(name);
  stored.digest = Digest::of(bytes);
  CO_TRY(stored.manifest, model::Manifest::parse(bytes));
  stored.modified = world_.clock.wall_now();
  if (const auto here = disk_.find(stored.name)) {
    if (here->digest == stored.digest) stored.modified = here->modified;
  }
  // Said once more of the same, it is as old as it was.
  const cluster::Card* card = catalogue_->find(stored.name);
  if (card && card->model->digest == stored.digest) stored.modified = card->model->modified;
  auto read = [this, stored]() -> Result<store::Model> {
    TRY(const auto model, store::read_model(disk_, world_.files, stored));
    return cluster::with_headers(world_.files, *model);
  };
  const auto model = co_await world_.workers.run(read);
  if (model) co_return cluster::write_card(*model, bytes);
  if (model.error().code == Errc::io_failed) {  // Perhaps one of them has rotted.
    for (const model::Layer& file : stored.manifest.blobs()) {
      if (file.kind() != "model") distribution_->scrubber().suspect(file.digest);
    }
  }
  co_return fail(model.error());
}

io::Task<Result<std::string>> ClusterParts::fetch_backend_key(std::string name, io::Call call) {
  const cluster::View view = reports_->view();
  for (const cluster::NodeInfo& node : view.nodes()) {
    const engine::PeerLink* link = reports_->link_of(node.name);
    if (!link || !node.is_reachable()) continue;
    auto request = link->request("GET", std::string(kBackendKeys) + name);
    auto response = co_await client_->send(std::move(request), call);
    if (!response) continue;
    auto key = co_await (*response)->read_all(cluster::BackendTable::kKeyBytesMax);
    if (key && (*response)->status() == 200) co_return std::move(*key);
  }
  co_return fail(Errc::not_found, "no node that can be reached has the key");
}

void ClusterParts::serve_backend_keys(cluster::BackendTable& table) {
  peer_server_->mount(std::string(kBackendKeys),
                      [&table](http::Request& request, http::BodyReader&,
                               http::ResponseWriter& response) -> io::Task<void> {
                        return hand_over_key(table, request, response);
                      });
}

io::Task<Result<void>> ClusterParts::bring(const scheduler::Target& target, io::Call call) {
  // Its runner needs no file any more, and the disk may not answer just now.
  const bool are_told = std::ranges::all_of(
      target.files,
      [this](const scheduler::Target::File& file) { return files_.has(file.digest); });
  if (are_told && local_->is_loaded(target.key())) co_return Result<void>{};
  transfer::Replicas::Files files;
  files.reserve(target.files.size());
  for (const scheduler::Target::File& file : target.files) {
    files.emplace_back(file.digest, file.bytes);
  }
  CO_TRY(model::Name name, model::Name::parse(target.name));
  co_return co_await distribution_->replicas().bring(std::move(name), target.manifest,
                                                     std::move(files), std::move(call));
}

// Wants one copy more than there are, for as long as the model is asked for that much.
io::Task<void> ClusterParts::stage(std::string model, size_t copies) {
  const auto name = model::Name::parse(model);
  if (!name) co_return;
  const auto state = distribution_->replicas().state();
  if (!state) co_return;  // Not read yet: it will be asked again.
  const int factor = state->policy_of(transfer::Catalogue::key_of(*name)).factor;
  const int extra = std::max(1, static_cast<int>(copies) + 1 - factor);
  const io::Call call = world_.clock.call_within(kStageMax, tasks_.token());
  const auto told =
      co_await distribution_->catalogue().set_popularity(*name, state_.name, extra, call);
  if (!told) log_warn("no further copy", field("model", model), field("error", told.error()));
}

}  // namespace om::app
