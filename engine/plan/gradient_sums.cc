#include "engine/plan/gradient_sums.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "kernels/error.h"

namespace lockstep {
namespace {

constexpr int64_t kUnknown = std::numeric_limits<int64_t>::min();
// A gradient may grow by 2^kHeadroom from one step to the next before a step must be repeated.
constexpr int kHeadroom = 6;

}  // namespace

GradientSums::GradientSums(const Variables& variables, int lanes)
    : variables_(variables),
      lane_bits_(static_cast<int>(std::bit_width(static_cast<unsigned>(std::max(lanes, 1) - 1)))),
      sums_(static_cast<size_t>(variables.flat_size())),
      exponents_(variables.entries().size(), kUnknown) {
  for (size_t i = 0; i < variables.entries().size(); ++i) {
    const auto graph_value = static_cast<size_t>(variables.entries()[i].graph_value);
    if (entry_of_.size() <= graph_value) entry_of_.resize(graph_value + 1, -1);
    entry_of_[graph_value] = static_cast<int>(i);
    slots_.push_back(std::make_unique<Slot>());
  }
}

void GradientSums::Begin() {
  std::fill(sums_.begin(), sums_.end(), 0);
  for (const auto& slot : slots_) {
    slot->largest = 0.0;
    slot->finite = true;
  }
  overflowed_ = false;
}

void GradientSums::Add(int graph_value, const void* gradient) {
  const auto entry = static_cast<size_t>(entry_of_[static_cast<size_t>(graph_value)]);
  if (variables_.dtype() == DType::kFloat64) {
    AddValues(entry, static_cast<const double*>(gradient));
  } else {
    AddValues(entry, static_cast<const float*>(gradient));
  }
}

template <typename T>
void GradientSums::AddValues(size_t entry, const T* gradient) {
  const int64_t size = variables_.entries()[entry].type.shape.size();
  T largest = 0;
  bool finite = true;
  for (int64_t i = 0; i < size; ++i) {
    const T magnitude = std::abs(gradient[i]);
    finite = finite && magnitude <= std::numeric_limits<T>::max();
    largest = std::max(largest, magnitude);
  }
  Slot& slot = *slots_[entry];
  if (!finite) {
    const std::lock_guard<std::mutex> lock(slot.mutex);
    slot.finite = false;
    return;
  }
  const int64_t exponent = exponents_[entry];
  const bool known = exponent != kUnknown;
  const double scale = known ? std::ldexp(1.0, static_cast<int>(exponent)) : 0.0;
  const double limit = std::ldexp(1.0, 62 - lane_bits_);
  const bool fits = known && static_cast<double>(largest) * scale < limit;

  const std::lock_guard<std::mutex> lock(slot.mutex);
  slot.largest = std::max(slot.largest, static_cast<double>(largest));
  if (!fits) {
    overflowed_ = true;
    return;
  }
  int64_t* sums = sums_.data() + variables_.entries()[entry].offset;
  for (int64_t i = 0; i < size; ++i) {
    sums[i] += std::llrint(static_cast<double>(gradient[i]) * scale);
  }
}

int GradientSums::NotFinite() const {
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (!slots_[i]->finite) return static_cast<int>(i);
  }
  return -1;
}

void GradientSums::ThrowNotFinite() const {
  throw FormatError("the gradient of " +
                    variables_.entries()[static_cast<size_t>(NotFinite())].name +
                    " is not finite: training diverged; lower the learning rate");
}

void GradientSums::UpdateExponents() {
  for (size_t i = 0; i < slots_.size(); ++i) {
    const double largest = slots_[i]->largest;
    // Nothing seen: any exponent that ordinary gradients fit.
    const int magnitude = largest > 0.0 ? std::ilogb(largest) + 1 : 0;
    exponents_[i] = std::min(61 - lane_bits_ - kHeadroom - magnitude, 1000);
  }
}

template <typename T>
void GradientSums::StoreValues(size_t entry) const {
  const Variables::Entry& target = variables_.entries()[entry];
  const int64_t* sums = sums_.data() + target.offset;
  const double scale = std::ldexp(1.0, -static_cast<int>(exponents_[entry]));
  T* gradient = static_cast<T*>(target.gradient);
  for (int64_t i = 0; i < target.type.shape.size(); ++i) {
    gradient[i] = static_cast<T>(static_cast<double>(sums[i]) * scale);
  }
}

void GradientSums::Store() const {
  for (size_t i = 0; i < variables_.entries().size(); ++i) {
    if (variables_.entries()[i].role != Role::kParameter || exponents_[i] == kUnknown) continue;
    if (variables_.dtype() == DType::kFloat64) {
      StoreValues<double>(i);
    } else {
      StoreValues<float>(i);
    }
  }
}

}  // namespace lockstep
