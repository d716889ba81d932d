#include "comm/allreduce_sync.h"

#include <algorithm>
#include <string>

namespace lockstep {
namespace {

WireType WireOf(DType dtype) {
  return dtype == DType::kFloat64 ? WireType::kFloat64 : WireType::kFloat32;
}

bool IsAveraged(const Variables::Entry& entry) {
  return entry.role == Role::kState && IsFloating(entry.type.dtype);
}

}  // namespace

// Buckets are the same in every step: whole ones when all of their elements are there, the rest
// at the end of the pass.
void AllreduceSync::Ready(Variables& variables, int64_t end) {
  const auto element = static_cast<int64_t>(SizeOf(variables.dtype()));
  const int64_t all = variables.flat_size();
  const auto bytes = static_cast<int64_t>(options_.bucket_bytes);
  const int64_t bucket = bytes == 0 ? all : std::max<int64_t>(bytes / element, 1);
  const WireType wire = WireOf(variables.dtype());
  while (sent_ < all && (sent_ + bucket <= end || end == all)) {
    const int64_t count = std::min(bucket, all - sent_);
    const std::shared_ptr<std::byte> data(
        variables.shared_gradients(),
        static_cast<std::byte*>(variables.gradients()) + sent_ * element);
    last_ = group_.Submit("gradients " + std::to_string(sent_ / bucket), [=](Communicator& ranks) {
      ranks.Allreduce(data.get(), count, wire, ReduceOp::kSum);
    });
    sent_ += count;
  }
}

void AllreduceSync::FinishGradients(Variables& variables) {
  Ready(variables, variables.flat_size());
  sent_ = 0;
  last_.Wait();
}

void AllreduceSync::AverageStates(Variables& variables, int64_t mine, int64_t all) {
  if (!options_.average_states || all == 0) return;
  if (variables.dtype() == DType::kFloat64) {
    AverageStatesOf<double>(variables, mine, all);
  } else {
    AverageStatesOf<float>(variables, mine, all);
  }
}

template <typename T>
void AllreduceSync::AverageStatesOf(Variables& variables, int64_t mine, int64_t all) {
  int64_t size = 0;
  for (const Variables::Entry& entry : variables.entries()) {
    if (IsAveraged(entry)) size += entry.type.shape.size();
  }
  if (size == 0) return;
  if (!states_) states_ = group_.Allocate(static_cast<size_t>(size) * sizeof(T));
  T* const packed = reinterpret_cast<T*>(states_.get());

  const T weight = static_cast<T>(static_cast<double>(mine) / static_cast<double>(all));
  T* at = packed;
  for (const Variables::Entry& entry : variables.entries()) {
    if (!IsAveraged(entry)) continue;
    const T* values = static_cast<const T*>(entry.data);
    at = std::transform(values, values + entry.type.shape.size(), at,
                        [weight](T value) { return value * weight; });
  }
  group_
      .Submit("running statistics",
              [=](Communicator& ranks) {
                ranks.Allreduce(packed, size,
                                WireOf(sizeof(T) == 8 ? DType::kFloat64 : DType::kFloat32),
                                ReduceOp::kSum);
              })
      .Wait();
  const T* from = packed;
  for (const Variables::Entry& entry : variables.entries()) {
    if (!IsAveraged(entry)) continue;
    std::copy_n(from, entry.type.shape.size(), static_cast<T*>(entry.data));
    from += entry.type.shape.size();
  }
}

}  // namespace lockstep
