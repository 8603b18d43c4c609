// An answer of foreign servers that is kept under its key, so that its client can pick it up again:
// the client gets the same chunks, and the rest is asked of a server that can go on from a text.
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
  // Makes the answer that gives the rest.
  using MakeAnswer = std::function<std::unique_ptr<FederatedAnswer>(io::Call call)>;

  KeptAnswer(std::unique_ptr<Recording> recording, MakeAnswer make, const io::Call& call);

  // `past`: the lines that earlier owners kept. If it is empty, asks the first server; its errors
  // come from here. corrupt: `past` is not a record of chunks.
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
  Route route_;                    // Of the kept chunks.
  std::deque<model::Chunk> past_;  // Kept chunks that are not given out yet.
  bool was_kept_ = false;
  std::unique_ptr<FederatedAnswer> answer_;
};

}  // namespace om::generation
