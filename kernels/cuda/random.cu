#include "kernels/cuda/families.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/random.h"

namespace lockstep::cuda {

std::unique_ptr<RandomKernels> MakeRandom(GpuStream* stream) {
  return std::make_unique<CudaRandom<GpuStream>>(stream);
}

}  // namespace lockstep::cuda
