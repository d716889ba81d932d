#include "kernels/cuda/norm.h"

#include "kernels/cuda/families.h"
#include "kernels/cuda/launch.cuh"

namespace lockstep::cuda {

std::unique_ptr<NormKernels> MakeNorm(GpuStream* stream) {
  return std::make_unique<CudaNorm<GpuStream>>(stream);
}

}  // namespace lockstep::cuda
