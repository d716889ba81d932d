// Where the time of steps went, over all ranks: table, log, stragglers, trace.
#ifndef LOCKSTEP_TOOLS_STEP_REPORT_H_
#define LOCKSTEP_TOOLS_STEP_REPORT_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/train/trainer.h"
#include "tools/failure.h"

namespace lockstep::tools {

// Steps of all ranks, added up.
struct StepSums {
  int64_t steps = 0;
  std::vector<StepTimes> ranks = {};
  std::vector<std::vector<double>> waited_for = {};  // [rank][whom], seconds
  std::vector<double> lateness = {};                 // of each rank (engine/train/step_times.h)

  StepSums& operator+=(const StepSums& more);
};

// Every rank gives what it measured, and gets all.
StepSums GatherSteps(RankGroup& group, const MeterInterval& mine);
// This host's name, of every rank.
std::vector<std::string> GatherHosts(RankGroup& group);

// Seconds of a mean step under the keys of the log: "time/step", "time/wait"; means over ranks.
std::vector<std::pair<std::string, double>> StepValues(const StepSums& sums);
// A row a rank, milliseconds of a mean step, and how much of the communication was hidden.
std::string StepTable(const StepSums& sums);
// The same as a JSON array with an object a rank: "step_ms", "data_ms" and so on; "timed_ms" is
// what a clock around the steps has found.
std::string StepJson(const StepSums& sums, const std::vector<double>& timed_ms);
// One line about the rank that comes more than 5 % of a step and 5 ms later than the others on
// average; "" where none does.
std::string StragglerLine(const StepSums& sums, const std::vector<std::string>& hosts);

struct StepReportOptions {
  std::string trace = {};        // file; empty: none
  std::string trace_steps = {};  // "100-200", counted from 1; empty: all
};

// Throws ConfigError (64) for steps that are none.
TraceOptions ParseTraceSteps(const std::string& text);
// The same, and for steps without a file to hold them.
void CheckTraceOptions(const StepReportOptions& options);

// Measures the steps of a trainer that has several ranks or writes a trace. Every epoch of several
// ranks their means go to the trainer's observation, and `say` hears of a straggler; in the end it
// gets the table and the trace is written. One that cannot be is told to `say` and `failure`. Every
// rank calls it, before what reports observations extends the trainer. The pointers must outlive
// the trainer.
using SayLine = std::function<void(const std::string& line)>;
void ReportSteps(Trainer& trainer, const StepReportOptions& options, const SayLine& say,
                 FirstFailure* failure);

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_STEP_REPORT_H_
