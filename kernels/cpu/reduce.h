#ifndef LOCKSTEP_KERNELS_CPU_REDUCE_H_
#define LOCKSTEP_KERNELS_CPU_REDUCE_H_

#include "kernels/cpu/dispatch.h"
#include "kernels/reduce.h"

namespace lockstep::cpu {

class CpuReduce : public ReduceKernels {
 public:
  // `isa` must outlive this.
  explicit CpuReduce(const IsaTable* isa) : isa_(isa) {}

  void AddSquares(DType dtype, int64_t size, const void* x, double* sum) override;
  void ChannelSums(DType dtype, const PictureShape& shape, Layout layout, const void* x,
                   void* y) override;
  int64_t FirstNonFinite(DType dtype, int64_t size, const void* x) override;
  double LargestMagnitude(DType dtype, int64_t size, const void* x) override;
  void ToFixedPoint(DType dtype, int64_t size, const void* x, double scale, bool accumulate,
                    int64_t* sums) override;
  void FromFixedPoint(DType dtype, int64_t size, const int64_t* sums, double scale,
                      void* y) override;

 private:
  const IsaTable* isa_;
};

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_REDUCE_H_
