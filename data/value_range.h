// Between which numbers the elements of an array lie.
#ifndef LOCKSTEP_DATA_VALUE_RANGE_H_
#define LOCKSTEP_DATA_VALUE_RANGE_H_

#include <cstdint>

#include "engine/tensor/tensor.h"

namespace lockstep {

// Of the finite elements; least > largest where there are none.
struct ValueRange {
  double least = 0.0, largest = -1.0;
  int64_t not_finite = 0;
};

ValueRange RangeOf(const Tensor& tensor);

}  // namespace lockstep

#endif  // LOCKSTEP_DATA_VALUE_RANGE_H_
