#ifndef LOCKSTEP_KERNELS_CPU_PICTURE_H_
#define LOCKSTEP_KERNELS_CPU_PICTURE_H_

#include "kernels/cpu/dispatch.h"
#include "kernels/picture.h"

namespace lockstep::cpu {

class CpuPicture final : public PictureKernels {
 public:
  // `isa` must outlive this.
  explicit CpuPicture(const IsaTable* isa) : isa_(isa) {}

  void Prepare(DType dtype, const PictureCut& cut, int64_t n, const PictureSamples& samples,
               const void* table, const uint8_t* x, void* y) override;

 private:
  const IsaTable* isa_;
};

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_PICTURE_H_
