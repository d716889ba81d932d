// Kernel family: softmax and the losses and metrics over rows.
#ifndef LOCKSTEP_KERNELS_SOFTMAX_H_
#define LOCKSTEP_KERNELS_SOFTMAX_H_

#include <cstdint>

#include "kernels/dtype.h"

namespace lockstep {

// What one batch adds to a loss and its metric. Sums, never means: batches, lanes and ranks add
// theirs and the division happens once, at the end.
struct LossSums {
  double loss = 0.0;         // sum over the rows that count
  int64_t count = 0;         // rows (or elements) that count: the divisor of the loss
  double metric = 0.0;       // correct predictions, or sum of squared errors
  int64_t metric_count = 0;  // its divisor; accuracy counts ignored rows too, as F.accuracy does

  LossSums& operator+=(const LossSums& other) {
    loss += other.loss;
    count += other.count;
    metric += other.metric;
    metric_count += other.metric_count;
    return *this;
  }
};

// `dtype` is kFloat32 or kFloat64: of 16 bits a loss would not hold what steps change.
class SoftmaxKernels {
 public:
  virtual ~SoftmaxKernels() = default;

  // Rows of plain (rows, classes).
  virtual void Forward(DType dtype, int64_t rows, int64_t classes, const void* x, void* y) = 0;
  // dx = y * (dy - sum(y * dy)).
  virtual void Backward(DType dtype, int64_t rows, int64_t classes, const void* y, const void* dy,
                        void* dx) = 0;
  // loss += -log softmax(x)[label] for labels != -1 (Chainer's ignore_label); metric += rows whose
  // first maximum is the label. Adds to *sums, in the device's memory. Unless null, loss (1,) gets
  // this call's part of the loss, and dx the gradient of the *sum* of the losses: softmax(x) -
  // onehot(label), 0 for ignored rows.
  // FormatError naming row and range for a label outside -1 .. classes - 1: thrown here or by the
  // backend's Synchronize.
  virtual void CrossEntropy(DType dtype, int64_t rows, int64_t classes, const void* x,
                            const int32_t* labels, LossSums* sums, void* loss, void* dx) = 0;
  // loss += (x - target)^2 summed over `size` elements, count += size; metric and metric_count the
  // same (its root of mean is the RMSE). Unless null, loss and dx = 2 * (x - target) as above.
  virtual void SquaredError(DType dtype, int64_t size, const void* x, const void* target,
                            LossSums* sums, void* loss, void* dx) = 0;
};

}  // namespace lockstep

#endif  // LOCKSTEP_KERNELS_SOFTMAX_H_
