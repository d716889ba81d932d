// What this machine can do at best, measured, and a plan's lines against it.
#ifndef LOCKSTEP_TOOLS_PEAK_H_
#define LOCKSTEP_TOOLS_PEAK_H_

#include <string>
#include <vector>

#include "engine/plan/plan.h"
#include "kernels/backend.h"

namespace lockstep::tools {

struct MachinePeak {
  double gflops = 0.0;     // per second, of a large float32 product on all the backend's threads
  double gigabytes = 0.0;  // per second, read and written: see MeasurePeak
};

// The faster of copying and of adding arrays far larger than the caches: a CPU copies on one
// thread.
MachinePeak MeasurePeak(Backend& backend);

// One row a line: milliseconds, GFLOP/s (counted as the direct formula) and share of the peak,
// GB/s and share; then a total. `seconds` are sums over `runs`.
std::string PlanTable(const Plan& plan, const std::vector<double>& seconds, double runs,
                      const MachinePeak& peak);

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_PEAK_H_
