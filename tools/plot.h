// Curves as a picture for people.
#ifndef LOCKSTEP_TOOLS_PLOT_H_
#define LOCKSTEP_TOOLS_PLOT_H_

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tools/log_report.h"

namespace lockstep::tools {

// One curve. A y that is not finite, or beyond 1e100, is a gap.
struct Series {
  std::string name;
  std::string note;  // shown behind the name, fainter: "best 0.914 in epoch 27"
  std::vector<double> x;
  std::vector<double> y;
  std::optional<size_t> best;  // index of the point to mark
};

struct LinePlot {
  std::string title;
  std::string x_label;
  std::string y_label;
  std::vector<Series> series;
  bool fractions = false;  // y lies in 0..1
  int width = 1280;
  int height = 960;
};

// A PNG. Curves of different lengths, of one point or of none are fine; y becomes logarithmic
// where it spans more than two decades.
std::vector<std::byte> RenderLinePlot(const LinePlot& plot);

// The plots of a training log over epochs (iterations where the log has no epochs): main/accuracy
// and main/loss with their validation/ counterparts, as far as the log has them.
LinePlot AccuracyPlot(std::span<const LogEntry> log, const std::string& title);
LinePlot RmsePlot(std::span<const LogEntry> log, const std::string& title);  // of regressions
LinePlot LossPlot(std::span<const LogEntry> log, const std::string& title);

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_PLOT_H_
