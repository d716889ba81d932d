#include "kernels/backend.h"
#include "kernels/error.h"

namespace lockstep {

int CountCudaDevices() { return 0; }

std::unique_ptr<Backend> MakeCudaBackend(int, bool) {
  throw DeviceError("this build has no CUDA backend; use --device cpu", ExitCode::kUsage);
}

}  // namespace lockstep
