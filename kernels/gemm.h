// Kernel family: dense matrix products.
#ifndef LOCKSTEP_KERNELS_GEMM_H_
#define LOCKSTEP_KERNELS_GEMM_H_

#include <cstdint>

#include "kernels/dtype.h"
#include "kernels/elementwise.h"
#include "kernels/error.h"
#include "kernels/optimizer.h"

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

// An update of parameters whose gradient is a product: p, s0 and s1 lie as C does.
struct ProductUpdate {
  UpdateArgs args = {};
  const UpdateNumbers* numbers = nullptr;  // prepared, in the device's memory
  void* p = nullptr;
  void *s0 = nullptr, *s1 = nullptr;  // null where the rule names none
};

class GemmKernels {
 public:
  virtual ~GemmKernels() = default;
  // `dtype` is any floating one.
  virtual void Gemm(DType dtype, const GemmArgs& args) = 0;

  // Whether GemmUpdate() takes such a product, and is faster than both on their own. Of `args` the
  // pointers do not matter.
  virtual bool can_update(DType, const GemmArgs&) const { return false; }
  // Gemm() and OptimizerKernels::Update() with C as the gradient, with their bits, while C is in
  // the cache: C is scratch, and undefined afterwards. Beta is 0, and there are neither bias nor
  // activation.
  virtual void GemmUpdate(DType, const GemmArgs&, const ProductUpdate&) {
    throw Error(ExitCode::kBug, "this device updates no parameters by products");
  }
};

}  // namespace lockstep

#endif  // LOCKSTEP_KERNELS_GEMM_H_
