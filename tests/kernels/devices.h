// Everything that has the kernel families: their tests hold on all of them.
#ifndef LOCKSTEP_TESTS_KERNELS_DEVICES_H_
#define LOCKSTEP_TESTS_KERNELS_DEVICES_H_

#include <memory>
#include <vector>

#include "tests/kernels/host_device.h"
#include "tests/kernels/kernel_test.h"

namespace lockstep::test {

// The CPU's with each instruction set, and a GPU's kernels in blocks of one thread and of several.
inline std::vector<std::shared_ptr<Backend>> Devices() {
  std::vector<std::shared_ptr<Backend>> devices = Backends();
  for (const int threads : {0, 5}) devices.push_back(std::make_shared<HostDevice>(threads));
  return devices;
}

}  // namespace lockstep::test

#endif  // LOCKSTEP_TESTS_KERNELS_DEVICES_H_
