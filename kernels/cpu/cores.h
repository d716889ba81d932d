// How many cores and threads this process may use.
#ifndef LOCKSTEP_KERNELS_CPU_CORES_H_
#define LOCKSTEP_KERNELS_CPU_CORES_H_

#include <string>

namespace lockstep::cpu {

// Cores of the calling thread's affinity mask; at least 1.
int AffinityCores();

// Which these are: "0 1 5"; "" where that cannot be told.
std::string AffinityMask();

// Cores of the affinity mask, but no more than the CPU time that containers above or around this
// process may take, in whole cores, rounded up: cpu.max of cgroup v2 from this process's group
// upwards, or v1's cpu.cfs_quota_us (https://docs.kernel.org/admin-guide/cgroup-v2.html). At least
// 1. `proc` and `cgroups` are the folders of the system's files.
int UsableCores(const std::string& proc = "/proc", const std::string& cgroups = "/sys/fs/cgroup");

// How many of `wanted` more threads the system lets live at once; tries it.
int StartableThreads(int wanted);

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_CORES_H_
