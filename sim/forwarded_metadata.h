// All of metadata::Metadata handed on; for what looks at some of it, or spoils some.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "metadata/metadata.h"

namespace om::sim {

// Lives and ends as what it owns.
class ForwardedMetadata : public metadata::Metadata {
 public:
  explicit ForwardedMetadata(std::unique_ptr<metadata::Metadata> metadata)
      : metadata_(std::move(metadata)) {}

  io::Task<Result<std::optional<metadata::Entry>>> get(std::string key, io::Call call) override {
    return metadata_->get(std::move(key), std::move(call));
  }
  io::Task<Result<metadata::Snapshot>> list(std::string prefix, io::Call call) override {
    return metadata_->list(std::move(prefix), std::move(call));
  }
  io::Task<Result<metadata::Commit>> commit(metadata::Transaction transaction,
                                            io::Call call) override {
    return metadata_->commit(std::move(transaction), std::move(call));
  }
  io::Task<Result<metadata::LeaseId>> grant(std::chrono::seconds time_to_live,
                                            io::Call call) override {
    return metadata_->grant(time_to_live, std::move(call));
  }
  io::Task<Result<void>> keep_alive(metadata::LeaseId lease, io::Call call) override {
    return metadata_->keep_alive(lease, std::move(call));
  }
  io::Task<Result<void>> revoke(metadata::LeaseId lease, io::Call call) override {
    return metadata_->revoke(lease, std::move(call));
  }
  std::unique_ptr<metadata::Watch> watch(std::string prefix, metadata::Revision from) override {
    return metadata_->watch(std::move(prefix), from);
  }
  bool healthy() const override { return metadata_->healthy(); }
  io::Task<void> stop() override { return metadata_->stop(); }

 protected:
  metadata::Metadata& inner() { return *metadata_; }

 private:
  std::unique_ptr<metadata::Metadata> metadata_;
};

}  // namespace om::sim
