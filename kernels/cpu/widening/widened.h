// 16-bit floats by way of float32: what the families of this folder do for kernels that know
// float32 and float64 alone. Sums are those of float32, and every result is rounded once.
#ifndef LOCKSTEP_KERNELS_CPU_WIDENING_WIDENED_H_
#define LOCKSTEP_KERNELS_CPU_WIDENING_WIDENED_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/dtype.h"
#include "kernels/elementwise.h"

namespace lockstep::cpu {

// Float32 copies of the arrays of one call. Null stays null.
class Widened {
 public:
  // Arrays are of `dtype`, which has 16 bits; `kernels` casts them and must outlive this.
  Widened(ElementwiseKernels& kernels, DType dtype) : kernels_(kernels), dtype_(dtype) {}

  // What is read.
  const float* In(const void* x, int64_t size);
  // What is written, by Store(): what the copy holds then is rounded. Undefined until written.
  float* Out(void* y, int64_t size);
  void Store();

 private:
  struct Output {
    const float* copy;
    void* target;
    int64_t size;
  };
  struct Freed {
    void operator()(float* memory) const noexcept;
  };
  float* Allocate(int64_t size);

  ElementwiseKernels& kernels_;
  DType dtype_;
  std::vector<std::unique_ptr<float, Freed>> copies_;
  std::vector<Output> outputs_;
};

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_WIDENING_WIDENED_H_
