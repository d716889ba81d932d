#include "kernels/cuda/softmax.h"

#include "kernels/cuda/families.h"
#include "kernels/cuda/launch.cuh"

namespace lockstep::cuda {

std::unique_ptr<SoftmaxKernels> MakeSoftmax(GpuStream* stream) {
  return std::make_unique<CudaSoftmax<GpuStream>>(stream);
}

}  // namespace lockstep::cuda
