// Kernel family: dense matrix products.
#ifndef LOCKSTEP_KERNELS_GEMM_H_
#define LOCKSTEP_KERNELS_GEMM_H_

#include <cstdint>

#include "kernels/dtype.h"
#include "kernels/elementwise.h"

namespace lockstep {

// C (m, n) = activation(op(A) (m, k) * op(B) (k, n) + beta * C + bias), row major; op transposes
// when asked. ld* are row strides of the matrices as stored. Of 16-bit floats sums are float32.
struct GemmArgs {
  bool trans_a = false, trans_b = false;
  int64_t m = 0, n = 0, k = 0;
  const void* a = nullptr;
  int64_t lda = 0;
  const void* b = nullptr;
  int64_t ldb = 0;
  double beta = 0.0;  // 0 or 1; with 0, C is not read
  // C and bias have AccumulatorOf(dtype), so that sums of 16-bit floats stay as they are.
  bool wide_c = false;
  void* c = nullptr;
  int64_t ldc = 0;
  const void* bias = nullptr;                     // (n,), added to every row, or null
  Activation activation = Activation::kIdentity;  // kIdentity or kRelu
};

class GemmKernels {
 public:
  virtual ~GemmKernels() = default;
  // `dtype` is any floating one.
  virtual void Gemm(DType dtype, const GemmArgs& args) = 0;
};

}  // namespace lockstep

#endif  // LOCKSTEP_KERNELS_GEMM_H_
