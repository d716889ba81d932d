#include "kernels/cuda/optimizer.h"

#include "kernels/cuda/families.h"
#include "kernels/cuda/launch.cuh"

namespace lockstep::cuda {

std::unique_ptr<OptimizerKernels> MakeOptimizer(GpuStream* stream) {
  return std::make_unique<CudaOptimizer<GpuStream>>(stream);
}

}  // namespace lockstep::cuda
