// How far training has come, how fast it goes, and when it will be done.
#ifndef LOCKSTEP_TOOLS_PROGRESS_BAR_H_
#define LOCKSTEP_TOOLS_PROGRESS_BAR_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>

#include "kernels/shape.h"
#include "tools/console.h"

namespace lockstep::tools {

struct Progress {
  int64_t epoch = 1;  // the one at work, from 1
  int64_t epochs = 1;
  int64_t iteration = 0;  // steps done
  int64_t samples = 0;    // done since training began, before this run as well
  int64_t total_samples = 0;
  std::optional<double> loss = {};
};

struct ProgressOptions {
  std::string unit = "samples";
  double redraw_seconds = 0.1;         // on a terminal
  double line_seconds = 10;            // elsewhere; grows to a tenth of the time gone, at most 60
  std::function<double()> clock = {};  // seconds, monotonic; empty: the machine's
};

// What samples of this shape are called: images where they have channels, rows and columns.
std::string SampleUnit(const Shape& sample);

// On a terminal a bar in the console's status line; elsewhere now and then a plain line. Update()
// may be called every step: it costs a look at the clock until something is due.
class ProgressBar {
 public:
  explicit ProgressBar(Console* console, ProgressOptions options = {});

  void Update(const Progress& progress);
  // Whether something is due: what would be costly to tell may be left out elsewhere.
  bool IsDue() const;
  // Takes the bar away, at the end of training.
  void Finish();

 private:
  struct Mark {
    double time;
    int64_t samples;
  };

  void Remember(double now, int64_t samples);
  std::optional<double> Speed() const;  // samples/s over the last seconds
  std::optional<double> SecondsLeft(const Progress& progress, double now) const;
  std::string Bar(const Progress& progress, double now) const;
  std::string Line(const Progress& progress, double now) const;

  Console* console_;  // not owned
  ProgressOptions options_;
  std::optional<Mark> start_;
  std::deque<Mark> recent_;
  double next_draw_ = 0;
};

// "0:00:09", "1:02:03", "2 d 03:04:05".
std::string FormatDuration(double seconds);

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_PROGRESS_BAR_H_
