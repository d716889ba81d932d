// 16-bit floats by way of float32: what the families of this folder do for kernels that know
// float32 and float64 alone. Sums are those of float32, and every result is rounded once.
#ifndef LOCKSTEP_KERNELS_CPU_WIDENING_WIDENED_H_
#define LOCKSTEP_KERNELS_CPU_WIDENING_WIDENED_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "kernels/cpu/widening/wide_memory.h"
#include "kernels/dtype.h"
#include "kernels/elementwise.h"

namespace lockstep::cpu {

// What makes and keeps such copies; outlives who has it.
struct WideningTools {
  ElementwiseKernels* elementwise;  // casts
  WideMemory* memory;
};

// Float32 copies of the arrays of one call. Null stays null.
class Widened {
 public:
  // Arrays are of `dtype`, which has 16 bits.
  Widened(const WideningTools& tools, DType dtype) : tools_(tools), dtype_(dtype) {}
  ~Widened() { tools_.memory->GiveBack(std::move(copies_)); }
  Widened(const Widened&) = delete;
  Widened& operator=(const Widened&) = delete;

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
  float* Allocate(int64_t size);

  WideningTools tools_;
  DType dtype_;
  std::vector<WideMemory::Piece> copies_;
  std::vector<Output> outputs_;
};

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_WIDENING_WIDENED_H_
