// The verbs of the `lockstep` program, one file each. A verb gets the arguments behind its name and
// returns the exit code; what fails throws Error, which main turns into one line and its code.
#ifndef LOCKSTEP_TOOLS_VERBS_H_
#define LOCKSTEP_TOOLS_VERBS_H_

#include <span>
#include <string>

#include "tools/signals.h"

namespace lockstep::tools {

// Catches the signals itself: the other verbs have nothing to save and end as the signals say. A
// bench asks for them to know that a launcher ends it.
int RunTrain(std::span<const std::string> arguments, StopSignals& signals);
int RunPredict(std::span<const std::string> arguments);
int RunInspect(std::span<const std::string> arguments);
int RunBench(std::span<const std::string> arguments, StopSignals& signals);
// `bench kernels`, `bench allreduce` and `bench read`, with the arguments behind both words.
int RunBenchKernels(std::span<const std::string> arguments);
int RunBenchAllreduce(std::span<const std::string> arguments);
int RunBenchRead(std::span<const std::string> arguments);

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_VERBS_H_
