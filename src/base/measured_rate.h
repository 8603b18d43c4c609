// Rates as they are measured, for load reports.
#pragma once

#include <chrono>
#include <cmath>

namespace om {

// Amounts over the time they took, the latest weighing most. Amounts below the least are left out:
// their time tells of little but their beginning. A plain value.
class MeasuredRate {
 public:
  explicit MeasuredRate(double amount_min) : amount_min_(amount_min) {}

  // False: it was left out.
  bool add(double amount, std::chrono::nanoseconds took) {
    const double seconds = std::chrono::duration<double>(took).count();
    if (amount < amount_min_ || seconds <= 0) return false;
    amount_ = kKept * amount_ + amount;
    seconds_ = kKept * seconds_ + seconds;
    return true;
  }
  double per_second() const { return seconds_ > 0 ? amount_ / seconds_ : 0; }  // 0: not measured.

 private:
  static constexpr double kKept = 0.8;  // Of what was measured before, with each further amount.
  double amount_min_;
  double amount_ = 0, seconds_ = 0;
};

// To steps of about a twentieth: smaller changes are no news for a load report.
inline double in_steps(double value) {
  constexpr double kStepsPerDoubling = 16;
  if (value <= 0) return 0;
  return std::exp2(std::round(std::log2(value) * kStepsPerDoubling) / kStepsPerDoubling);
}

}  // namespace om
