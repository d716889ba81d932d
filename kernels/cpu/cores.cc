#include "kernels/cpu/cores.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <fstream>
#include <latch>
#include <limits>
#include <thread>
#include <vector>

namespace lockstep::cpu {
namespace {

constexpr double kUnlimited = std::numeric_limits<double>::infinity();

double Cores(double quota, double period) {
  return quota > 0 && period > 0 ? quota / period : kUnlimited;
}

// "200000 100000": microseconds of CPU time in microseconds; or "max 100000".
double QuotaV2(const std::string& folder) {
  std::ifstream file(folder + "/cpu.max");
  double quota = 0, period = 0;
  return file >> quota >> period ? Cores(quota, period) : kUnlimited;
}

double QuotaV1(const std::string& folder) {
  double quota = 0, period = 0;  // a quota of -1: none
  std::ifstream(folder + "/cpu.cfs_quota_us") >> quota;
  std::ifstream(folder + "/cpu.cfs_period_us") >> period;
  return Cores(quota, period);
}

// This process's group of cgroup v2: "/" or "/system.slice/x.service"; "" where there is none.
std::string GroupV2(const std::string& proc) {
  std::ifstream file(proc + "/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("0::/")) return line.substr(3);
  }
  return "";
}

}  // namespace

int AffinityCores() {
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof cores, &cores) != 0) return 1;
  return std::max(1, CPU_COUNT(&cores));
}

std::string AffinityMask() {
  cpu_set_t cores;
  std::string mask;
  if (sched_getaffinity(0, sizeof cores, &cores) != 0) return mask;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &cores)) mask += (mask.empty() ? "" : " ") + std::to_string(core);
  }
  return mask;
}

int UsableCores(const std::string& proc, const std::string& cgroups) {
  double quota = std::min(QuotaV2(cgroups), QuotaV1(cgroups + "/cpu"));
  for (std::string group = GroupV2(proc); group.size() > 1; group.resize(group.rfind('/'))) {
    quota = std::min(quota, QuotaV2(cgroups + group));
  }
  const int cores = AffinityCores();
  return quota < cores ? std::max(1, static_cast<int>(std::ceil(quota))) : cores;
}

int StartableThreads(int wanted) {
  std::vector<std::thread> started;
  started.reserve(static_cast<size_t>(wanted));
  std::latch end(1);
  try {
    while (std::ssize(started) < wanted) started.emplace_back([&end] { end.wait(); });
  } catch (const std::exception&) {
    // No more, then, or no memory for one.
  }
  end.count_down();
  for (std::thread& thread : started) thread.join();
  return static_cast<int>(started.size());
}

}  // namespace lockstep::cpu
