#include "kernels/cuda/elementwise.h"

#include "kernels/cuda/families.h"
#include "kernels/cuda/launch.cuh"

namespace lockstep::cuda {

std::unique_ptr<ElementwiseKernels> MakeElementwise(GpuStream* stream) {
  return std::make_unique<CudaElementwise<GpuStream>>(stream);
}

}  // namespace lockstep::cuda
