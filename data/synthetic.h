// Data made up for benches and tests.
#ifndef LOCKSTEP_DATA_SYNTHETIC_H_
#define LOCKSTEP_DATA_SYNTHETIC_H_

#include "data/dataset.h"

namespace lockstep {

// `rows` samples of `sample` that a network can learn: each is its class's pattern mixed with as
// much noise, values in [0, 1), float32 (or uint8 in 0..255). With `classes` 0 the label is one
// target, the mean of the sample. A function of its arguments alone.
Dataset SyntheticDataset(const Shape& sample, int32_t classes, int64_t rows, uint64_t seed,
                         DType dtype = DType::kFloat32);

}  // namespace lockstep

#endif  // LOCKSTEP_DATA_SYNTHETIC_H_
