// The models of the simulated nodes.
#pragma once

#include <string>
#include <string_view>

#include "store/store.h"

namespace om::sim {

std::string model_name(int number);
// The chat template of all of them, applied to one question.
std::string chat_prompt(std::string_view question);
// Each number's weights are its own.
io::Task<Result<void>> put_model(store::Store& store, int number);

}  // namespace om::sim
