// How long the answers of a model are.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "scheduler/prompt_outline.h"

namespace om::scheduler {

// Mean tokens of an answer by model, to estimate the next one. Bounded: with too many models all
// are forgotten. A plain value.
template <class Model>
class AnswerLengths {
 public:
  double expected(const Model& model) const {
    const auto known = means_.find(model);
    return known == means_.end() ? kFirst : known->second;
  }
  void observe(const Model& model, int64_t tokens) {  // 0: not known.
    if (tokens <= 0) return;
    if (means_.size() >= TokenRatio::kModelsMax) means_.clear();
    double& mean = means_.try_emplace(model, kFirst).first->second;
    mean += kWeight * (static_cast<double>(tokens) - mean);
  }

 private:
  static constexpr double kFirst = 256, kWeight = 0.05;
  std::unordered_map<Model, double> means_;
};

}  // namespace om::scheduler
