#ifndef LOCKSTEP_KERNELS_CPU_RANDOM_H_
#define LOCKSTEP_KERNELS_CPU_RANDOM_H_

#include "kernels/cpu/dispatch.h"
#include "kernels/random.h"

namespace lockstep::cpu {

// What the loops need of `args`. Throws ConfigError for a ratio outside [0, 1).
DropoutDraw DrawOf(const DropoutArgs& args);

class CpuRandom : public RandomKernels {
 public:
  // `isa` must outlive this.
  explicit CpuRandom(const IsaTable* isa) : isa_(isa) {}

  void DropoutForward(DType dtype, const PictureShape& shape, Layout layout,
                      const DropoutArgs& args, const void* x, void* y) override;
  void DropoutBackward(DType dtype, const PictureShape& shape, Layout layout,
                       const DropoutArgs& args, const void* dy, void* dx) override;
  void FillNormal(DType dtype, uint64_t key, double mean, double stddev, int64_t size,
                  void* x) override;
  void FillUniform(DType dtype, uint64_t key, double low, double high, int64_t size,
                   void* x) override;

 private:
  const IsaTable* isa_;
};

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_RANDOM_H_
