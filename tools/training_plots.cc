// Which curves of a training log are drawn, and what is said about them.
#include <charconv>
#include <cmath>

#include "tools/plot.h"
#include "tools/text.h"

namespace lockstep::tools {
namespace {

constexpr char kEpoch[] = "epoch";
constexpr char kIteration[] = "iteration";

// Whether entries differ in their epochs: where the log is kept every few iterations they do not.
const char* XName(std::span<const LogEntry> log) {
  for (size_t i = 0; i < log.size(); ++i) {
    const LogValue* const epoch = log[i].Find(kEpoch);
    if (epoch == nullptr) return kIteration;
    if (i > 0 && *epoch == *log[i - 1].Find(kEpoch)) return kIteration;
  }
  return kEpoch;
}

std::string Short(double value) {
  char buffer[32];
  const bool plain = std::fabs(value) < 1000 && std::fabs(value) >= 0.01;
  if (!plain) return FormatG(value, 3);
  const auto end =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::fixed, 3).ptr;
  return {buffer, end};
}

std::optional<size_t> BestOf(const Series& series, bool highest) {
  std::optional<size_t> best;
  for (size_t i = 0; i < series.y.size(); ++i) {
    if (!std::isfinite(series.y[i])) continue;
    const bool better =
        !best || (highest ? series.y[i] > series.y[*best] : series.y[i] < series.y[*best]);
    if (better) best = i;
  }
  return best;
}

LinePlot PlotOf(std::span<const LogEntry> log, const std::string& title, const std::string& what,
                bool highest) {
  const std::string x_name = XName(log);
  LinePlot plot{.title = title, .x_label = x_name, .y_label = what, .series = {}};
  const std::pair<const char*, std::string> curves[] = {{"train", "main/" + what},
                                                        {"validation", "validation/main/" + what}};
  for (const auto& [name, key] : curves) {
    Series series{.name = name, .note = "", .x = {}, .y = {}, .best = {}};
    for (const LogEntry& entry : log) {
      const LogValue* const x = entry.Find(x_name);
      const LogValue* const y = entry.Find(key);
      if (x == nullptr || y == nullptr) continue;
      series.x.push_back(AsDouble(*x));
      series.y.push_back(AsDouble(*y));
    }
    if (series.x.empty()) continue;
    series.best = BestOf(series, highest);
    if (series.best) {
      series.note = "best " + Short(series.y[*series.best]) + " in " + x_name + " " +
                    FormatG(series.x[*series.best], 12);
    }
    plot.series.push_back(std::move(series));
  }
  return plot;
}

}  // namespace

LinePlot AccuracyPlot(std::span<const LogEntry> log, const std::string& title) {
  LinePlot plot = PlotOf(log, title, "accuracy", true);
  plot.fractions = true;
  return plot;
}

LinePlot RmsePlot(std::span<const LogEntry> log, const std::string& title) {
  return PlotOf(log, title, "rmse", false);
}

LinePlot LossPlot(std::span<const LogEntry> log, const std::string& title) {
  return PlotOf(log, title, "loss", false);
}

}  // namespace lockstep::tools
