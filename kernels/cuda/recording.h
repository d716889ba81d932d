#ifndef LOCKSTEP_KERNELS_CUDA_RECORDING_H_
#define LOCKSTEP_KERNELS_CUDA_RECORDING_H_

#include <cuda_runtime_api.h>

#include <functional>
#include <memory>

#include "kernels/backend.h"

namespace lockstep::cuda {

// A CUDA graph of what `body` begins on `stream`; see Backend::Record. Null where the runtime, or a
// library that body calls, refuses: the same work can be begun without one.
std::unique_ptr<Recording> RecordStream(cudaStream_t stream, const std::function<void()>& body);

}  // namespace lockstep::cuda

#endif  // LOCKSTEP_KERNELS_CUDA_RECORDING_H_
