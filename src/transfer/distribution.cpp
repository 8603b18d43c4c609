#include "transfer/distribution.h"

namespace om::transfer {

Distribution::Distribution(io::World& world, store::Store& store, http::Client& client,
                           ClusterLinks links, cluster::Catalogue& models,
                           DistributionOptions options)
    : links_(std::move(links)),
      context_{world, store, client, options.transfer, &incoming_},
      receiving_(world.clock, options.receive_bytes_per_second),
      sending_(world.clock, options.send_bytes_per_second),
      lists_(world, store, [this](const Digest& digest) { scrubber_.suspect(digest); }),
      peer_blobs_(world, store, incoming_, lists_, sending_),
      relay_(context_, links_),
      downloads_(world,
                 [this](std::shared_ptr<Registry> registry, Digest digest, uint64_t size) {
                   const FetchParts parts{context_.world, context_.store, context_.client,
                                          links_,         incoming_,      receiving_};
                   return std::make_shared<ClusterFetch>(parts, std::move(registry), digest, size);
                 }),
      catalogue_(world, links_.metadata, models),
      replicas_({context_, links_, downloads_, catalogue_}, options.replicas),
      scrubber_(world, store, options.scrub, [this](const Digest& digest) { on_rotten(digest); }) {
  context_.catalogue = &catalogue_;
  context_.links = &links_;
}

void Distribution::start() {
  replicas_.start();
  scrubber_.start();
}

io::Task<void> Distribution::stop() {
  co_await scrubber_.stop();
  co_await replicas_.stop();
  co_await downloads_.stop();
  co_await lists_.stop();
}

void Distribution::on_rotten(const Digest& digest) {
  lists_.forget(digest);
  replicas_.look_now();  // It fetches the blob again from whoever has it.
}

}  // namespace om::transfer
