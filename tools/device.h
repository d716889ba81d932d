// Which device a program computes on: --device.
#ifndef LOCKSTEP_TOOLS_DEVICE_H_
#define LOCKSTEP_TOOLS_DEVICE_H_

#include <memory>
#include <optional>
#include <string>

#include "comm/world.h"
#include "kernels/backend.h"
#include "tools/options.h"

namespace lockstep::tools {

// What the programs take unless told otherwise: nothing of the CUDA backend has run on a GPU yet.
inline constexpr const char* kDefaultDevice = "cpu";

// "auto", "cpu", "cuda" (the GPU of this process: of several on a host each has its own) or
// "cuda:N".
void AddDeviceOption(Options& options, std::string* device);

struct DeviceChoice {
  std::string device = "auto";
  std::optional<int> allowed_gpus = {};  // SM_NUM_GPUS: what the platform lets this host use
  bool allow_tf32 = false;               // MakeCudaBackend
  // Of the processes of this job on this host.
  int local_rank = LaunchedLocalRank(), local_ranks = LaunchedLocalRanks();
};

struct ChosenDevice {
  int gpu = -1;           // none: the CPU
  std::string note = {};  // what a user should know of it; may be empty
};

// Of `visible` GPUs. Processes of a host that ask alike get devices of one kind. Throws ConfigError
// for a device that is no device's name, that is not allowed or not there, and where a GPU is asked
// for by more processes of a host than there are GPUs.
ChosenDevice ChooseDevice(const DeviceChoice& choice, int visible);

// How many processes a job should have that was started as one on a host with `visible` GPUs: one
// for each GPU that it may use, where the device leaves open which ("auto", "cuda").
int ProcessesFor(const DeviceChoice& choice, int visible);
// The same for the GPUs that answer.
int ProcessesFor(const DeviceChoice& choice);

struct OpenedDevice {
  std::unique_ptr<Backend> backend;
  std::string note;
};

// The device of this process; `threads` are those of the CPU. What "auto" cannot open is replaced
// by the CPU, with a note. Throws what ChooseDevice and MakeCudaBackend throw.
OpenedDevice OpenDevice(const DeviceChoice& choice, int threads);

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_DEVICE_H_
