#include "kernels/cuda/random.h"

#include "kernels/cuda/families.h"
#include "kernels/cuda/launch.cuh"

namespace lockstep::cuda {

std::unique_ptr<RandomKernels> MakeRandom(GpuStream* stream) {
  return std::make_unique<CudaRandom<GpuStream>>(stream);
}

}  // namespace lockstep::cuda
