#include "tools/axis.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "tools/text.h"

namespace lockstep::tools {
namespace {

constexpr int kWantedTicks = 7;
constexpr double kLogFrom = 100;  // two decades
// Sizes outside of this are none or too much: sums and powers stay finite, even of float64.
constexpr double kSmallest = 1e-100;
constexpr double kLargest = 1e100;

struct Range {
  double low = 0;
  double high = 0;
  bool empty = true;
};

Range FiniteRange(std::span<const double> values) {
  Range range;
  for (const double value : values) {
    if (!IsPlottable(value)) continue;
    range.low = range.empty ? value : std::min(range.low, value);
    range.high = range.empty ? value : std::max(range.high, value);
    range.empty = false;
  }
  return range;
}

// The step of 1, 2 or 5 times a power of ten that cuts `span` into about kWantedTicks.
double NiceStep(double span) {
  const double rough = span / kWantedTicks;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  const double lead = rough / power;
  return power * (lead <= 1 ? 1 : lead <= 2 ? 2 : lead <= 5 ? 5 : 10);
}

// Labels with as many decimals as the step needs, so that all of an axis agree.
std::string StepLabel(double value, double step) {
  const int decimals = std::max(0, static_cast<int>(-std::floor(std::log10(step) + 1e-9)));
  const double largest = std::fabs(value);
  if (decimals > 6 || largest >= 1e7) return FormatG(value, 6);
  char buffer[64];
  const auto end =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::fixed, decimals).ptr;
  return {buffer, end};
}

std::vector<Tick> StepTicks(double low, double high, double step) {
  std::vector<Tick> ticks;
  const double first = std::ceil(low / step - 1e-6);
  for (double i = first; i * step <= high + step * 1e-6 && ticks.size() < 100; ++i) {
    const double value = i == 0 ? 0.0 : i * step;  // no "-0"
    ticks.push_back({value, StepLabel(value, step)});
  }
  return ticks;
}

Axis LinearAxis(Range range, bool fractions) {
  // At least a tenth of the value's size, so that noise does not fill the picture.
  const double size = fractions ? 1 : std::max(std::fabs(range.low), std::fabs(range.high));
  const double least = size < kSmallest ? 1 : size * 0.1;
  if (const double missing = least - (range.high - range.low); missing > 0) {
    range.low -= missing / 2;
    range.high += missing / 2;
  } else if (range.low > 0 && range.low < 0.3 * range.high) {
    range.low = 0;  // near enough to nothing to show it
  }
  if (fractions) {
    range.low = std::max(range.low, 0.0);
    range.high = std::min(range.high, 1.0);
  }
  const double step = NiceStep(range.high - range.low);
  Axis axis;
  axis.low = std::floor(range.low / step + 1e-6) * step;
  axis.high = std::ceil(range.high / step - 1e-6) * step;
  axis.ticks = StepTicks(axis.low, axis.high, step);
  return axis;
}

// Ends at 1, 2 or 5 times a power of ten; labels at all of those while there are few decades.
Axis LogAxis(Range range) {
  Axis axis;
  axis.logarithmic = true;
  const int first = static_cast<int>(std::floor(std::log10(range.low)));
  const int last = static_cast<int>(std::ceil(std::log10(range.high)));
  const int every = std::max(1, (last - first) / 10);  // decades from label to label
  axis.low = std::pow(10, first);
  axis.high = std::pow(10, last);
  for (const double lead : {2.0, 5.0}) {
    if (lead * std::pow(10, first) <= range.low) axis.low = lead * std::pow(10, first);
  }
  for (const double lead : {5.0, 2.0}) {
    if (lead * std::pow(10, last - 1) >= range.high) axis.high = lead * std::pow(10, last - 1);
  }
  const bool short_axis = axis.high / axis.low <= 1001;
  for (int decade = first; decade <= last; ++decade) {
    for (int lead = 1; lead < 10; ++lead) {
      const double value = lead * std::pow(10, decade);
      if (value < axis.low * 0.999 || value > axis.high * 1.001) continue;
      const bool labelled =
          lead == 1 ? (decade - first) % every == 0 : short_axis && (lead == 2 || lead == 5);
      if (labelled || last - first <= 6) {
        axis.ticks.push_back({value, labelled ? FormatG(value, 6) : ""});
      }
    }
  }
  return axis;
}

}  // namespace

bool IsPlottable(double value) { return std::fabs(value) <= kLargest; }

double Axis::Place(double value) const {
  if (logarithmic) return std::log(value / low) / std::log(high / low);
  return (value - low) / (high - low);
}

Axis CountAxis(std::span<const double> values) {
  const Range range = FiniteRange(values);
  Axis axis;
  if (range.empty) return axis;
  const double span = range.high - range.low;
  const double step = std::max(1.0, span > 0 ? NiceStep(span) : 0);
  axis.ticks = StepTicks(range.low, range.high, step);
  if (axis.ticks.empty() || axis.ticks.front().value - range.low >= 0.5 * step) {
    axis.ticks.insert(axis.ticks.begin(), {range.low, StepLabel(range.low, 1)});
  }
  // Markers want some room at the ends; one point wants it most.
  const double room = span == 0 ? 1 : span * 0.02;
  axis.low = range.low - room;
  axis.high = range.high + room;
  return axis;
}

Axis ValueAxis(std::span<const double> values, bool fractions) {
  Range range = FiniteRange(values);
  if (range.empty) range.high = 1;
  const bool decades = range.low > kSmallest && range.high / range.low > kLogFrom;
  if (decades && !fractions) return LogAxis(range);
  return LinearAxis(range, fractions);
}

}  // namespace lockstep::tools
