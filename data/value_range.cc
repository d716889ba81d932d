#include "data/value_range.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace lockstep {
namespace {

template <typename T>
ValueRange Range(const Tensor& tensor) {
  T least = std::numeric_limits<T>::max(), largest = std::numeric_limits<T>::lowest();
  int64_t not_finite = 0;
  for (const T value : tensor.values<T>()) {
    if constexpr (std::is_floating_point_v<T>) {
      if (!std::isfinite(value)) {
        ++not_finite;
        continue;
      }
    }
    least = std::min(least, value);
    largest = std::max(largest, value);
  }
  if (not_finite == tensor.size()) return {.not_finite = not_finite};
  return {static_cast<double>(least), static_cast<double>(largest), not_finite};
}

}  // namespace

ValueRange RangeOf(const Tensor& tensor) {
  switch (tensor.dtype()) {
    case DType::kFloat32:
      return Range<float>(tensor);
    case DType::kFloat64:
      return Range<double>(tensor);
    case DType::kInt32:
      return Range<int32_t>(tensor);
    case DType::kInt64:
      return Range<int64_t>(tensor);
    case DType::kUint8:
      return Range<uint8_t>(tensor);
    case DType::kFloat16:
    case DType::kBfloat16:
      break;
  }
  return {};
}

}  // namespace lockstep
