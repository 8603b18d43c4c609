// The models of the simulated nodes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "store/store.h"

namespace om::sim {

// Those with numbers from there on come from the registry, which is part of their names.
inline constexpr int kPulledFirst = 100;
inline constexpr std::string_view kRegistryAddress = "10.0.1.1";
inline constexpr uint16_t kRegistryPort = 5000;

std::string model_name(int number);
// The chat template of all of them: one turn, and all of it applied to one question.
std::string chat_turn(std::string_view role, std::string_view content);
std::string chat_prompt(std::string_view question);
// Each number's weights are its own.
enum class ModelSize { small, larger_than_a_node };
io::Task<Result<void>> put_model(store::Store& store, int number,
                                 ModelSize size = ModelSize::small);

struct ModelFiles {
  model::Manifest manifest;
  std::vector<std::string> blobs;
};
// For a registry: a model with about so many bytes of weights, those of the number `weights`.
ModelFiles pulled_model(int number, int weights, uint64_t weights_bytes);

}  // namespace om::sim
