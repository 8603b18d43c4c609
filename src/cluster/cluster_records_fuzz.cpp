// Any bytes as what a cluster writes down or a joining node says: refused, or understood the same
// when it is written again.
#include "base/check.h"
#include "cluster/admission.h"
#include "cluster/model_card.h"
#include "store/paths_only_for_test.h"

namespace {

using namespace om;  // NOLINT: one file.

void read_as_card(std::string_view text) {
  const store::PathsOnly store;
  const auto card = cluster::read_card(text, store);
  if (!card) return;
  const auto written = cluster::write_card(*card->model, card->manifest);
  if (!written) return;  // Longer in our words than a card may be.
  const auto again = cluster::read_card(*written, store);
  CHECK(again && again->model->digest == card->model->digest);
  CHECK(again->model->weights_path == card->model->weights_path);
  CHECK(again->model->gguf.cache_layers.size() == card->model->gguf.cache_layers.size());
}

void read_as_member(std::string_view text) {
  const auto member = cluster::read_member(text);
  if (!member) return;
  const auto again = cluster::read_member(cluster::write_member(*member));
  CHECK(again && again->name == member->name && again->peer == member->peer);
  CHECK(again->voter == member->voter && again->draining == member->draining);
}

void read_as_join(std::string_view text) {
  if (const auto request = cluster::read_join_request(text)) {
    const auto again = cluster::read_join_request(cluster::write_join_request(*request));
    CHECK(again && again->token_id == request->token_id && again->peer == request->peer);
    CHECK(again->secret.reveal() == request->secret.reveal());
  }
  if (const auto answer = cluster::read_join_answer(text)) {
    const auto again = cluster::read_join_answer(cluster::write_join_answer(*answer));
    CHECK(again && again->certificate == answer->certificate);
    CHECK(again->members.size() == answer->members.size());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  read_as_card(text);
  read_as_member(text);
  read_as_join(text);
  return 0;
}
