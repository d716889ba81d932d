#include "tools/step_report.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <utility>

#include "engine/train/host_name.h"
#include "engine/train/trace.h"
#include "kernels/error.h"
#include "tools/option_values.h"
#include "tools/text.h"

namespace lockstep::tools {
namespace {

constexpr double kLateSeconds = 5e-3;
constexpr double kLateShare = 0.05;

template <typename... Values>
std::string Format(const char* format, Values... values) {
  char text[512];
  std::snprintf(text, sizeof text, format, values...);
  return text;
}

size_t Largest(const std::vector<double>& values) {
  return static_cast<size_t>(std::max_element(values.begin(), values.end()) - values.begin());
}

// "12.30 (2)": for rank 2 mostly.
std::string WaitText(double milliseconds, const std::vector<double>& waited_for) {
  const size_t whom = Largest(waited_for);
  const std::string text = Format("%.2f", milliseconds);
  return waited_for[whom] > 0.0 ? text + " (" + std::to_string(whom) + ")" : text;
}

StepTimes MeanOverRanks(const StepSums& sums) {
  StepTimes all;
  for (const StepTimes& times : sums.ranks) all += times;
  return all;
}

std::string HiddenLine(const StepSums& sums) {
  const StepTimes all = MeanOverRanks(sums);
  if (all.hidden + all.sums_late <= 0.0) return "";
  return Format("# %.0f %% of the time that sums of gradients took was hidden behind computation\n",
                100.0 * all.hidden_share());
}

class StepReport : public Extension {
 public:
  explicit StepReport(SayLine say) : say_(std::move(say)) {}
  std::string name() const override { return "step report"; }
  Trigger trigger() const override { return Trigger::Epochs(1); }

  void Invoke(Trainer& trainer) override {
    RankGroup& group = trainer.network().group();
    const StepSums sums = GatherSteps(group, trainer.meter()->TakeInterval());
    if (hosts_.empty()) hosts_ = GatherHosts(group);
    all_ += sums;
    for (const auto& [key, value] : StepValues(sums)) trainer.observation()[key] = value;
    const std::string line = StragglerLine(sums, hosts_);
    if (!line.empty()) say_(line);
  }
  void Finish(Trainer& trainer) override {
    all_ += GatherSteps(trainer.network().group(), trainer.meter()->TakeInterval());
    if (all_.steps == 0) return;
    std::string table = StepTable(all_);
    table.pop_back();  // say_ ends the line
    say_(table);
  }

 private:
  SayLine say_;
  std::vector<std::string> hosts_;
  StepSums all_;
};

class TraceFile : public Extension {
 public:
  TraceFile(std::string path, SayLine say, FirstFailure* failure)
      : path_(std::move(path)), say_(std::move(say)), failure_(failure) {}
  std::string name() const override { return "trace"; }
  Trigger trigger() const override { return Trigger::Never(); }
  void Invoke(Trainer&) override {}

  void Finish(Trainer& trainer) override {
    RankGroup& group = trainer.network().group();
    const StepMeter& meter = *trainer.meter();
    std::exception_ptr lost;
    const std::string failed = failure_->Try([&] {
      try {
        WriteTrace(group, *meter.trace(), HostName(), meter.ClockErrors(), path_);
      } catch (const IoError&) {
        throw;
      } catch (...) {
        lost = std::current_exception();
      }
    });
    if (lost) std::rethrow_exception(lost);
    if (!failed.empty()) return say_("warning: " + failed);
    if (group.rank() == 0) say_("trace written to " + path_);
  }

 private:
  std::string path_;
  SayLine say_;
  FirstFailure* failure_;
};

}  // namespace

StepSums& StepSums::operator+=(const StepSums& more) {
  if (ranks.empty()) return *this = more;
  steps += more.steps;
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    ranks[rank] += more.ranks[rank];
    lateness[rank] += more.lateness[rank];
    for (size_t whom = 0; whom < ranks.size(); ++whom) {
      waited_for[rank][whom] += more.waited_for[rank][whom];
    }
  }
  return *this;
}

StepSums GatherSteps(RankGroup& group, const MeterInterval& mine) {
  StepSums sums{.steps = mine.steps, .ranks = GatherValues(group, mine.times)};
  const size_t ranks = sums.ranks.size();
  std::vector<double> all(ranks * ranks);
  group.Gather(mine.waited_for.data(), ranks * sizeof(double), all.data());
  for (auto row = all.begin(); row != all.end(); row += static_cast<ptrdiff_t>(ranks)) {
    sums.waited_for.emplace_back(row, row + static_cast<ptrdiff_t>(ranks));
  }
  sums.lateness = mine.lateness;
  return sums;
}

std::vector<std::string> GatherHosts(RankGroup& group) { return GatherTexts(group, HostName()); }

std::vector<std::pair<std::string, double>> StepValues(const StepSums& sums) {
  if (sums.steps == 0) return {};
  const StepTimes all = MeanOverRanks(sums);
  const double count = static_cast<double>(sums.steps) * static_cast<double>(sums.ranks.size());
  return {
      {"time/step", all.wall / count},       {"time/data", all.data / count},
      {"time/compute", all.compute / count}, {"time/exposed_communication", all.exposed / count},
      {"time/wait", all.wait / count},       {"time/update", all.update / count},
      {"time/other", all.other / count},     {"time/hidden_communication", all.hidden / count}};
}

std::string StepTable(const StepSums& sums) {
  std::string text = "# milliseconds of a step, mean of " + std::to_string(sums.steps) +
                     "; hidden communication runs beside the rest\n" +
                     Format("# %4s %9s %9s %9s %9s %9s %14s %9s %9s\n", "rank", "step", "data",
                            "compute", "hidden", "exposed", "wait (for)", "update", "other");
  for (size_t rank = 0; rank < sums.ranks.size(); ++rank) {
    const StepTimes& times = sums.ranks[rank];
    const double scale = 1e3 / static_cast<double>(std::max<int64_t>(sums.steps, 1));
    text +=
        Format("# %4zu %9.2f %9.2f %9.2f %9.2f %9.2f %14s %9.2f %9.2f\n", rank, times.wall * scale,
               times.data * scale, times.compute * scale, times.hidden * scale,
               times.exposed * scale, WaitText(times.wait * scale, sums.waited_for[rank]).c_str(),
               times.update * scale, times.other * scale);
  }
  return text + HiddenLine(sums);
}

std::string StepJson(const StepSums& sums, const std::vector<double>& timed_ms) {
  const double scale = 1e3 / static_cast<double>(std::max<int64_t>(sums.steps, 1));
  std::string text;
  for (size_t rank = 0; rank < sums.ranks.size(); ++rank) {
    const StepTimes& times = sums.ranks[rank];
    text += Format(
        "%s{\"timed_ms\": %.5f, \"step_ms\": %.5f, \"data_ms\": %.5f, \"compute_ms\": %.5f, "
        "\"hidden_ms\": %.5f, \"exposed_ms\": %.5f, \"wait_ms\": %.5f, \"update_ms\": %.5f, "
        "\"other_ms\": %.5f}",
        rank == 0 ? "" : ", ", timed_ms[rank], times.wall * scale, times.data * scale,
        times.compute * scale, times.hidden * scale, times.exposed * scale, times.wait * scale,
        times.update * scale, times.other * scale);
  }
  return "[" + text + "]";
}

std::string StragglerLine(const StepSums& sums, const std::vector<std::string>& hosts) {
  if (sums.steps == 0 || sums.ranks.size() < 2) return "";
  const size_t rank = Largest(sums.lateness);
  const auto steps = static_cast<double>(sums.steps);
  const double late = sums.lateness[rank] / steps, step = sums.ranks[rank].wall / steps;
  if (late <= std::max(kLateSeconds, kLateShare * step)) return "";
  return "rank " + std::to_string(rank) + " on " + OneLine(hosts[rank], 100) +
         Format(" arrives %.0f ms late on average, %.0f %% of a step: the others wait for it",
                late * 1e3, 100.0 * late / step);
}

TraceOptions ParseTraceSteps(const std::string& text) {
  TraceOptions options;
  if (text.empty()) return options;
  const size_t dash = text.find('-');
  const auto first = ParseInt(text.substr(0, dash));
  const auto last = dash == std::string::npos ? first : ParseInt(text.substr(dash + 1));
  if (!first || !last || *first < 1 || *last < *first) {
    throw ConfigError("--trace-steps " + Quote(text) +
                      ": wants a step from 1 up, or the first and the last one, as in 100-200");
  }
  options.first_step = *first;
  options.last_step = *last;
  return options;
}

void CheckTraceOptions(const StepReportOptions& options) {
  ParseTraceSteps(options.trace_steps);
  if (options.trace_steps.empty() || !options.trace.empty()) return;
  throw ConfigError("--trace-steps " + Quote(options.trace_steps) + " wants --trace FILE");
}

void ReportSteps(Trainer& trainer, const StepReportOptions& options, const SayLine& say,
                 FirstFailure* failure) {
  const bool several = trainer.network().group().size() > 1;
  if (!several && options.trace.empty()) return;
  MeterOptions meter;
  if (!options.trace.empty()) meter.trace = ParseTraceSteps(options.trace_steps);
  trainer.Measure(meter);
  if (several) trainer.Extend(std::make_unique<StepReport>(say));
  if (!options.trace.empty()) {
    trainer.Extend(std::make_unique<TraceFile>(options.trace, say, failure));
  }
}

}  // namespace lockstep::tools
