#include "tools/device.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

#include "engine/text.h"
#include "kernels/error.h"
#include "tools/text.h"

namespace lockstep::tools {
namespace {

constexpr const char* kAuto = "auto";
constexpr const char* kCpu = "cpu";
constexpr const char* kCuda = "cuda";

// N of "cuda:N"; nothing where it is another text.
std::optional<int> IndexIn(const std::string& device) {
  const std::string prefix = std::string(kCuda) + ":";
  if (!device.starts_with(prefix)) return std::nullopt;
  int index = 0;
  const char* const end = device.data() + device.size();
  const auto [behind, failure] = std::from_chars(device.data() + prefix.size(), end, index);
  if (failure != std::errc() || behind != end || index < 0) return std::nullopt;
  return index;
}

// Looking for GPUs takes time where there are some.
int VisibleGpus(const DeviceChoice& choice) {
  return choice.device == kCpu || choice.allowed_gpus == 0 ? 0 : CountCudaDevices();
}

std::string ThisProcess(const DeviceChoice& choice) {
  return choice.local_ranks == 1
             ? "this process"
             : Counted(choice.local_ranks, "process", "processes") + " of this host";
}

}  // namespace

void AddDeviceOption(Options& options, std::string* device) {
  options
      .Add("device", device,
           "auto, cpu, cuda (a GPU for each process of a host) or cuda:N; auto: a GPU where there "
           "is one for each process")
      .ValueName("NAME");
}

ChosenDevice ChooseDevice(const DeviceChoice& choice, int visible) {
  const std::string asked = "--device " + Quote(choice.device);
  const std::optional<int> index = IndexIn(choice.device);
  if (!index && choice.device != kAuto && choice.device != kCpu && choice.device != kCuda) {
    throw ConfigError(asked + ": wants auto, cpu, cuda or cuda:N");
  }
  const int allowed = choice.allowed_gpus.value_or(std::numeric_limits<int>::max());
  const std::string allows = "SM_NUM_GPUS allows " + Counted(allowed, "GPU");
  if (choice.device == kCpu) {
    if (choice.allowed_gpus.value_or(0) == 0) return {};
    return {.note = allows + ": using the CPU; --device auto or cuda would use them"};
  }
  if (choice.device == kAuto) {
    if (allowed == 0 || (visible == 0 && !choice.allowed_gpus)) return {};
    if (std::min(visible, allowed) >= choice.local_ranks) return {.gpu = choice.local_rank};
    const std::string there = visible == 0 ? "no GPU answers" : Counted(visible, "GPU") + " answer";
    return {.note = (choice.allowed_gpus ? allows + ", " + there : there) + " to " +
                    ThisProcess(choice) + ": using the CPU"};
  }
  const int gpu = index.value_or(choice.local_rank);
  if (gpu >= allowed) {
    throw ConfigError(asked + ": " + allows + " to " + ThisProcess(choice) +
                      "; use another one, or --device cpu");
  }
  if (!index && visible > 0 && choice.local_ranks > visible) {
    throw ConfigError(asked + ": " + Counted(choice.local_ranks, "process", "processes") +
                      " of this host want a GPU each, found " + Counted(visible, "GPU") +
                      "; start fewer, or use --device cpu");
  }
  return {.gpu = gpu};
}

int ProcessesFor(const DeviceChoice& choice, int visible) {
  if (choice.device != kAuto && choice.device != kCuda) return 1;
  return std::max(1, std::min(visible, choice.allowed_gpus.value_or(visible)));
}

int ProcessesFor(const DeviceChoice& choice) { return ProcessesFor(choice, VisibleGpus(choice)); }

OpenedDevice OpenDevice(const DeviceChoice& choice, int threads) {
  const int visible = VisibleGpus(choice);
  ChosenDevice chosen = ChooseDevice(choice, visible);
  if (chosen.gpu < 0) return {MakeCpuBackend(threads), std::move(chosen.note)};
  try {
    return {MakeCudaBackend(chosen.gpu, choice.allow_tf32), ""};
  } catch (const DeviceError& error) {
    if (choice.device != kAuto) throw;
    return {MakeCpuBackend(threads), std::string("using the CPU: ") + error.what()};
  }
}

}  // namespace lockstep::tools
