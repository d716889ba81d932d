#include "kernels/cuda/pool.h"

#include "kernels/cuda/families.h"
#include "kernels/cuda/launch.cuh"

namespace lockstep::cuda {

std::unique_ptr<PoolKernels> MakePool(GpuStream* stream) {
  return std::make_unique<CudaPool<GpuStream>>(stream);
}

}  // namespace lockstep::cuda
