#include "kernels/cuda/device.h"

#include "kernels/cuda/image.h"
#include "kernels/error.h"
#include "kernels/unavailable.h"

namespace lockstep::cuda {
namespace {

constexpr char kUseCpu[] = "use --device cpu";

std::string Text(cudaError_t status) {
  return std::string(cudaGetErrorString(status)) + " (" + cudaGetErrorName(status) + ")";
}

std::string UuidText(const cudaUUID_t& uuid) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const char c : uuid.bytes) {
    const auto byte = static_cast<unsigned char>(c);
    text += {kDigits[byte / 16], kDigits[byte % 16]};
  }
  return text;
}

std::string Range(int devices) {
  return devices == 1 ? "only cuda:0" : "cuda:0 to cuda:" + std::to_string(devices - 1);
}

}  // namespace

std::string VersionText(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

void Check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  const std::string told = std::string(what) + " on the GPU failed: " + Text(status);
  if (status != cudaErrorMemoryAllocation) throw DeviceError(told);
  cudaGetLastError();  // or the next launch would take it for its own
  throw UnavailableError(told);
}

DeviceCount CountDevices() {
  DeviceCount found;
  if (cudaDriverGetVersion(&found.driver_version) != cudaSuccess) found.driver_version = 0;
  cudaRuntimeGetVersion(&found.runtime_version);
  found.status = cudaGetDeviceCount(&found.devices);
  if (found.status != cudaSuccess) found.devices = 0;
  cudaGetLastError();  // reported here: not to be met again by a later call
  return found;
}

void CheckIndex(const DeviceCount& found, int index) {
  const std::string wanted = "cuda:" + std::to_string(index);
  if (found.driver_version == 0) {
    throw DeviceError(
        wanted + " cannot be used: no NVIDIA driver answers on this machine (one for " + "CUDA " +
        VersionText(found.runtime_version) + " is wanted); install it or " + kUseCpu);
  }
  if (found.status == cudaErrorInsufficientDriver) {
    throw DeviceError(wanted + " cannot be used: the NVIDIA driver is for CUDA " +
                      VersionText(found.driver_version) + ", this program wants " +
                      VersionText(found.runtime_version) + "; update the driver or " + kUseCpu);
  }
  if (found.status == cudaErrorNoDevice || (found.status == cudaSuccess && found.devices == 0)) {
    throw DeviceError(wanted +
                      " cannot be used: the NVIDIA driver finds no GPU; look at "
                      "CUDA_VISIBLE_DEVICES and at what the container may see, or " +
                      kUseCpu);
  }
  if (found.status != cudaSuccess) {
    throw DeviceError(wanted + " cannot be used: the NVIDIA driver answers " + Text(found.status) +
                      "; look at nvidia-smi, or " + kUseCpu);
  }
  if (index < 0 || index >= found.devices) {
    throw DeviceError("there is no " + wanted + ": found " + std::to_string(found.devices) +
                          " GPUs, " + Range(found.devices) + "; name one of them or " + kUseCpu,
                      ExitCode::kUsage);
  }
}

Device OpenDevice(int index) {
  const DeviceCount found = CountDevices();
  CheckIndex(found, index);
  const std::string named = "opening cuda:" + std::to_string(index);
  Check(cudaSetDevice(index), named.c_str());
  cudaDeviceProp properties;
  Check(cudaGetDeviceProperties(&properties, index), named.c_str());
  Device device{
      index,
      properties.name,
      properties.major * 10 + properties.minor,
      properties.multiProcessorCount,
      "driver-" + VersionText(found.driver_version) + " cuda-" + VersionText(found.runtime_version),
      UuidText(properties.uuid)};
  const cudaError_t status = CheckImage();
  if (status == cudaErrorNoKernelImageForDevice || status == cudaErrorInvalidDeviceFunction) {
    throw DeviceError(
        "cuda:" + std::to_string(index) + " (" + device.name + ") has compute capability " +
        std::to_string(properties.major) + "." + std::to_string(properties.minor) +
        ", for which this program has no code (" + "it has " + LOCKSTEP_CUDA_ARCHITECTURES +
        "); build with -DLOCKSTEP_CUDA_ARCHITECTURES=" + std::to_string(device.capability) +
        " or " + kUseCpu);
  }
  Check(status, named.c_str());
  return device;
}

}  // namespace lockstep::cuda
