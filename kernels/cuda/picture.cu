#include "kernels/cuda/picture.h"

#include "kernels/cuda/families.h"
#include "kernels/cuda/launch.cuh"

namespace lockstep::cuda {

std::unique_ptr<PictureKernels> MakePicture(GpuStream* stream) {
  return std::make_unique<CudaPicture<GpuStream>>(stream);
}

}  // namespace lockstep::cuda
