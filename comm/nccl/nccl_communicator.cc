#include "comm/nccl/nccl_communicator.h"

#include "comm/nccl/gpu_communicator_internal.h"
#include "comm/nccl/library_internal.h"
#include "engine/train/host_name.h"
#include "kernels/cuda/backend.h"
#include "kernels/cuda/side_stream.h"
#include "kernels/error.h"

namespace lockstep {
namespace {

const cuda::Device& GpuOf(const Backend& device) {
  if (const auto* const gpu = dynamic_cast<const cuda::CudaBackend*>(&device)) {
    return gpu->device();
  }
  throw ConfigError("NCCL wants GPUs, and " + device.name() +
                    " is none; use --device cuda, or --communicator naive");
}

}  // namespace

bool HasNccl() { return true; }

GpuPlace PlaceForNccl(const Backend& device) {
  const cuda::Device& gpu = GpuOf(device);
  nccl::LoadNccl(cuda::StandardFolders());
  return {.host = HostName(), .name = device.name(), .uuid = gpu.uuid};
}

std::unique_ptr<Communicator> MakeNcclCommunicator(Communicator& ranks, const Backend& device,
                                                   NcclRanks connected) {
  return std::make_unique<nccl::GpuCommunicator<cuda::SideStream>>(
      ranks, nccl::Members::Of(ranks, connected, HostKey()), device,
      nccl::LoadNccl(cuda::StandardFolders()), std::make_unique<cuda::SideStream>(GpuOf(device)));
}

}  // namespace lockstep
