// Finding a GPU, and saying in one line why there is none.
#ifndef LOCKSTEP_KERNELS_CUDA_DEVICE_H_
#define LOCKSTEP_KERNELS_CUDA_DEVICE_H_

#include <cuda_runtime_api.h>

#include <string>

namespace lockstep::cuda {

// What the driver and the runtime say about this machine; versions as 1000 * major + 10 * minor.
struct DeviceCount {
  cudaError_t status = cudaSuccess;
  int devices = 0;
  int driver_version = 0;  // 0: no driver
  int runtime_version = 0;
};
DeviceCount CountDevices();

// Throws DeviceError unless `found` has a device `index`.
void CheckIndex(const DeviceCount& found, int index);

struct Device {
  int index = 0;
  std::string name;      // "NVIDIA H200"
  int capability = 0;    // 90 for 9.0
  int processors = 0;    // streaming multiprocessors
  std::string versions;  // of driver and runtime, as fingerprints name them
  std::string uuid;      // 32 digits that no other GPU, or part of one, has
};

// Makes cuda:`index` the calling thread's device. Throws DeviceError where there is none, or where
// this program holds no code for it.
Device OpenDevice(int index);

// "13.0" of 13000.
std::string VersionText(int version);

// Throws DeviceError when `status` is a failure: "`what` on GPU failed: ...", UnavailableError
// where it is one of memory alone.
void Check(cudaError_t status, const char* what);

}  // namespace lockstep::cuda

#endif  // LOCKSTEP_KERNELS_CUDA_DEVICE_H_
