// What the verbs of `lockstep bench` share.
#ifndef LOCKSTEP_TOOLS_BENCH_H_
#define LOCKSTEP_TOOLS_BENCH_H_

#include <string>
#include <vector>

namespace lockstep::tools {

// Of at least one; of an even number the mean of the two in the middle.
double Median(std::vector<double> values);

// ConfigError (64) where a launcher has started several: `verb`, as "bench kernels", measures one.
void RequireOneProcess(const std::string& verb);

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_BENCH_H_
