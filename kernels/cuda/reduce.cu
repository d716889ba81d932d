#include "kernels/cuda/reduce.h"

#include "kernels/cuda/families.h"
#include "kernels/cuda/launch.cuh"

namespace lockstep::cuda {

std::unique_ptr<ReduceKernels> MakeReduce(GpuStream* stream) {
  return std::make_unique<CudaReduce<GpuStream>>(stream);
}

}  // namespace lockstep::cuda
