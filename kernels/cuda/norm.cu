#include "kernels/cuda/families.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/norm.h"

namespace lockstep::cuda {

std::unique_ptr<NormKernels> MakeNorm(GpuStream* stream) {
  return std::make_unique<CudaNorm<GpuStream>>(stream);
}

}  // namespace lockstep::cuda
