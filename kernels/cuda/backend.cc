#include "kernels/backend.h"

#include "kernels/cuda/device.h"
#include "kernels/error.h"

namespace lockstep {

int CountCudaDevices() { return cuda::CountDevices().devices; }

std::unique_ptr<Backend> MakeCudaBackend(int device) {
  const cuda::Device opened = cuda::OpenDevice(device);
  throw DeviceError("cuda:" + std::to_string(device) + " (" + opened.name +
                        ") is there, but this version computes on the CPU only; use --device cpu",
                    ExitCode::kUsage);
}

}  // namespace lockstep
