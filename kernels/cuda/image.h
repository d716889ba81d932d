#ifndef LOCKSTEP_KERNELS_CUDA_IMAGE_H_
#define LOCKSTEP_KERNELS_CUDA_IMAGE_H_

#include <cuda_runtime_api.h>

namespace lockstep::cuda {

// Whether this program has code for the current device: cudaSuccess, or
// cudaErrorNoKernelImageForDevice.
cudaError_t CheckImage();

}  // namespace lockstep::cuda

#endif  // LOCKSTEP_KERNELS_CUDA_IMAGE_H_
