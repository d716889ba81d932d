#include "engine/plan/gradient_sums.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "engine/plan/buckets.h"
#include "engine/tensor/device_memory.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

// A gradient may grow by 2^kHeadroom from one step to the next before a step must be repeated.
constexpr int kHeadroom = 6;

std::shared_ptr<void> AllocateSums(Backend& backend, size_t bytes, GradientSums::Others* others) {
  if (others != nullptr && backend.shares_host_memory()) return others->Allocate(bytes);
  DeviceMemory sums = AllocateOn(backend, bytes, "sums of gradients");
  backend.Clear(sums.get(), bytes);
  return sums;
}

}  // namespace

GradientSums::GradientSums(const Variables& variables, Backend& backend, int lanes, Others* others,
                           size_t bucket_bytes)
    : variables_(variables),
      backend_(backend),
      lane_bits_(static_cast<int>(std::bit_width(static_cast<unsigned>(std::max(lanes, 1) - 1)))),
      others_(others),
      bucket_(ElementsOfBucket(bucket_bytes, sizeof(int64_t), variables.flat_size())),
      sums_(AllocateSums(backend, sum_bytes(), others)),
      exponents_(variables.entries().size(), kUnknownExponent) {
  for (size_t i = 0; i < variables.entries().size(); ++i) {
    const auto graph_value = static_cast<size_t>(variables.entries()[i].graph_value);
    if (entry_of_.size() <= graph_value) entry_of_.resize(graph_value + 1, -1);
    entry_of_[graph_value] = static_cast<int>(i);
    slots_.push_back(std::make_unique<Slot>());
  }
}

void GradientSums::Begin() {
  for (const auto& slot : slots_) {
    slot->largest = 0.0;
    slot->finite = true;
    slot->added = false;
  }
  overflowed_ = false;
  ready_ = sent_ = 0;
}

int64_t GradientSums::NextEnd() const { return std::min(sent_ + bucket_, variables_.flat_size()); }

bool GradientSums::Sends(int64_t end) const {
  return InPieces() && sent_ < variables_.flat_size() && NextEnd() <= end;
}

void GradientSums::Ready(int64_t end) {
  if (!InPieces() || end <= ready_) return;
  // What only others add to.
  for (size_t i = 0; i < slots_.size(); ++i) {
    const Variables::Entry& entry = variables_.entries()[i];
    if (entry.trained && !slots_[i]->added && entry.offset >= ready_ && entry.offset < end) {
      ClearSums(i);
    }
  }
  ready_ = end;
  while (Sends(ready_)) {
    const int64_t begin = std::exchange(sent_, NextEnd());
    others_->StartSum({sums_, SumsAt(begin)}, sent_ - begin);
  }
}

void GradientSums::Add(int graph_value, const void* gradient) {
  const auto index = static_cast<size_t>(entry_of_[static_cast<size_t>(graph_value)]);
  const Variables::Entry& entry = variables_.entries()[index];
  const int64_t size = entry.type.shape.size();
  const DType dtype = variables_.dtype();
  const double largest = backend_.reduce().LargestMagnitude(dtype, size, gradient);
  const int64_t exponent = exponents_[index];
  const bool known = exponent != kUnknownExponent;
  const double scale = known ? std::ldexp(1.0, static_cast<int>(exponent)) : 0.0;
  const double limit = std::ldexp(1.0, 62 - lane_bits_);

  Slot& slot = *slots_[index];
  const std::lock_guard<std::mutex> lock(slot.mutex);
  if (!std::isfinite(largest)) {
    slot.finite = false;
    return;
  }
  slot.largest = std::max(slot.largest, largest);
  if (!known || largest * scale >= limit) {
    overflowed_ = true;
    return;
  }
  backend_.reduce().ToFixedPoint(dtype, size, gradient, scale, slot.added, SumsOf(entry));
  slot.added = true;
}

// Three numbers an entry and one for all travel as their largest: what was added to, the first
// process whose gradient is not finite, how large elements were, and whether any was too large.
void GradientSums::Agree() {
  if (others_ == nullptr) return;
  Ready(variables_.flat_size());
  const size_t entries = slots_.size();
  std::vector<double> seen(3 * entries + 1, 0.0);
  for (size_t i = 0; i < entries; ++i) {
    seen[3 * i] = slots_[i]->added ? 1.0 : 0.0;
    seen[3 * i + 1] = slots_[i]->finite ? 0.0 : others_->size() - others_->rank();
    seen[3 * i + 2] = slots_[i]->largest;
  }
  seen.back() = overflowed_ ? 1.0 : 0.0;
  others_->Largest(&seen);
  if (InPieces()) others_->FinishSums();
  overflowed_ = seen.back() > 0.0;
  for (size_t i = 0; i < entries; ++i) {
    Slot& slot = *slots_[i];
    if (!slot.added && seen[3 * i] > 0.0) {
      if (!InPieces()) ClearSums(i);  // in pieces they are sums by now
      slot.added = true;
    }
    slot.finite = seen[3 * i + 1] == 0.0;
    slot.bad_rank = others_->size() - static_cast<int>(seen[3 * i + 1]);
    slot.largest = seen[3 * i + 2];
  }
}

void GradientSums::ClearSums(size_t index) {
  const Variables::Entry& entry = variables_.entries()[index];
  backend_.Clear(SumsOf(entry), static_cast<size_t>(entry.type.shape.size()) * sizeof(int64_t));
}

void GradientSums::SumOverProcesses() {
  if (others_ == nullptr || InPieces()) return;
  if (others_->Reaches(backend_)) {
    backend_.Synchronize();
    return others_->Sum(SumsAt(0), variables_.flat_size());
  }
  if (!on_host_) on_host_ = others_->Allocate(sum_bytes());
  backend_.Download(sums_.get(), on_host_.get(), sum_bytes());
  others_->Sum(reinterpret_cast<int64_t*>(on_host_.get()), variables_.flat_size());
  backend_.Upload(on_host_.get(), sums_.get(), sum_bytes());
}

int GradientSums::NotFinite() const {
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (!slots_[i]->finite) return static_cast<int>(i);
  }
  return -1;
}

int GradientSums::RankOfNotFinite() const {
  return slots_[static_cast<size_t>(NotFinite())]->bad_rank;
}

void GradientSums::UpdateExponents() {
  for (size_t i = 0; i < slots_.size(); ++i) {
    const double largest = slots_[i]->largest;
    // Nothing seen: any exponent that ordinary gradients fit.
    const int magnitude = largest > 0.0 ? std::ilogb(largest) + 1 : 0;
    exponents_[i] = std::min(61 - lane_bits_ - kHeadroom - magnitude, 1000);
  }
}

void GradientSums::Store() const {
  for (size_t i = 0; i < slots_.size(); ++i) {
    const Variables::Entry& entry = variables_.entries()[i];
    if (entry.role != Role::kParameter) continue;
    const int64_t size = entry.type.shape.size();
    if (!slots_[i]->added) {
      backend_.Clear(entry.gradient, static_cast<size_t>(size) * SizeOf(variables_.dtype()));
      continue;
    }
    backend_.reduce().FromFixedPoint(variables_.dtype(), size, SumsOf(entry),
                                     std::ldexp(1.0, -static_cast<int>(exponents_[i])),
                                     entry.gradient);
  }
}

}  // namespace lockstep
