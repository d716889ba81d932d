// Scales with ticks at round numbers.
#ifndef LOCKSTEP_TOOLS_AXIS_H_
#define LOCKSTEP_TOOLS_AXIS_H_

#include <span>
#include <string>
#include <vector>

namespace lockstep::tools {

struct Tick {
  double value;
  std::string label;  // "" for a grid line without one
};

// One direction of a plot: which values it shows and where its ticks are.
struct Axis {
  double low = 0;
  double high = 1;
  bool logarithmic = false;
  std::vector<Tick> ticks;

  // 0 at `low`, 1 at `high`.
  double Place(double value) const;
};

// Whether a value can be shown: finite, and not beyond anything a float32 holds.
bool IsPlottable(double value);

// An axis over counted things: ticks at whole numbers only. It begins at the first value and ends
// at the last, but for a little room.
Axis CountAxis(std::span<const double> values);

// An axis over measured values. What cannot be shown is left out. `fractions` never leave [0, 1].
// Logarithmic where all values are above 0 and span more than two decades, unless fractions.
Axis ValueAxis(std::span<const double> values, bool fractions);

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_AXIS_H_
