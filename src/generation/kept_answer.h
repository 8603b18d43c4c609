// An answer of foreign servers that is kept under its key, so that its client can pick it up again.
// What it said is kept as it was said: who picks it up gets the same chunks, and what is missing is
// asked of a server that can go on from a text.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "generation/chunk_wire.h"
#include "generation/federated_answer.h"
#include "generation/record.h"

namespace om::generation {

// On the io thread. Destroying it cancels the generation.
class KeptAnswer final : public Answer {
 public:
  // Of whoever is to be asked for what is missing.
  using MakeAnswer = std::function<std::unique_ptr<FederatedAnswer>(io::Call call)>;

  KeptAnswer(std::unique_ptr<Recording> recording, MakeAnswer make, const io::Call& call);

  // corrupt: `past`, what earlier owners kept, is no record of chunks. Without a past the first
  // server is asked, whose errors come from here.
  io::Task<Result<void>> open(std::string past);
  io::Task<Result<model::Chunk>> next() override;
  bool was_kept() const override { return was_kept_; }
  const Route& route() const override;

 private:
  Result<void> read(std::string_view past);

  std::unique_ptr<Recording> recording_;
  io::CancelSource cancel_;
  io::OnCancel on_caller_, on_superseded_;
  io::Call call_;
  MakeAnswer make_;
  Route route_;                    // Of what was kept.
  std::deque<model::Chunk> past_;  // Not yet given out.
  bool was_kept_ = false;
  std::unique_ptr<FederatedAnswer> answer_;
};

}  // namespace om::generation
