#include "engine/train/step_times.h"

#include <algorithm>

namespace lockstep {

StepTimes& StepTimes::operator+=(const StepTimes& step) {
  wall += step.wall;
  data += step.data;
  compute += step.compute;
  exposed += step.exposed;
  wait += step.wait;
  update += step.update;
  other += step.other;
  hidden += step.hidden;
  sums_late += step.sums_late;
  return *this;
}

double StepTimes::hidden_share() const {
  const double all = hidden + sums_late;
  return all > 0.0 ? hidden / all : 0.0;
}

std::vector<double> Arrivals(std::span<const TimeShare> shares, std::span<const double> offsets) {
  std::vector<double> arrivals;
  for (size_t rank = 0; rank < shares.size(); ++rank) {
    arrivals.push_back(shares[rank].arrived - offsets[rank] - shares[rank].inside_blocked);
  }
  return arrivals;
}

size_t LastToStart(std::span<const TimeShare> shares) {
  const auto last = std::min_element(
      shares.begin(), shares.end(),
      [](const auto& a, const auto& b) { return a.start_blocked < b.start_blocked; });
  return static_cast<size_t>(last - shares.begin());
}

double StartWait(std::span<const TimeShare> shares, int me) {
  return shares[static_cast<size_t>(me)].start_blocked - shares[LastToStart(shares)].start_blocked;
}

double Overlap(std::span<const SumTime> sums, double begin, double end) {
  double seconds = 0.0;
  for (const SumTime& sum : sums) {
    seconds += std::max(0.0, std::min(sum.end, end) - std::max(sum.begin, begin));
  }
  return seconds;
}

double OverlapBeside(std::span<const SumTime> sums, std::span<const TimeSpan> blocked, double begin,
                     double end) {
  double seconds = Overlap(sums, begin, end);
  for (const TimeSpan& span : blocked) {
    seconds -= Overlap(sums, std::max(begin, span.begin), std::min(end, span.end));
  }
  return seconds;
}

double Total(std::span<const SumTime> sums) {
  double seconds = 0.0;
  for (const SumTime& sum : sums) seconds += sum.end - sum.begin;
  return seconds;
}

// A sum takes as long as on the rank where it took least: on others it waits, inside the
// collective, for who has not computed its part yet. The clocks are never exact, so a wait is at
// most what this rank was blocked.
StepTimes SplitStep(const PartTimes& parts, std::span<const TimeShare> shares,
                    std::span<const double> arrivals, int me, double overlapped) {
  const TimeShare& mine = shares[static_cast<size_t>(me)];
  double summing = mine.summing;
  for (const TimeShare& share : shares) summing = std::min(summing, share.summing);
  const double start_wait = StartWait(shares, me);
  const double finish = parts.of(StepPart::kFinish), exchange = parts.of(StepPart::kExchange);
  const double blocked = parts.blocked_inside() + finish + exchange;
  const double last = *std::max_element(arrivals.begin(), arrivals.end());
  const double late = std::clamp(last - arrivals[static_cast<size_t>(me)], 0.0, blocked);

  StepTimes times;
  for (const double part : parts.in) times.wall += part;
  times.data = parts.of(StepPart::kData) - parts.blocked_in(StepPart::kData);
  times.compute = parts.of(StepPart::kCompute) - parts.blocked_in(StepPart::kCompute);
  times.wait = late + start_wait;
  times.exposed = mine.start_blocked - start_wait + blocked - late + parts.of(StepPart::kAverage);
  times.update = parts.of(StepPart::kUpdate);
  times.other = times.wall - times.data - times.compute - times.wait - times.exposed - times.update;
  const double late_in_finish = std::max(0.0, late - parts.blocked_inside());
  times.sums_late = std::min(std::max(0.0, finish - late_in_finish), summing);
  times.hidden = std::clamp(summing - times.sums_late, 0.0, std::max(0.0, overlapped));
  // Where ranks meet inside of the computation they wait there for sums that are under way, too.
  if (parts.blocked_inside() > 0.0) times.sums_late = summing - times.hidden;
  return times;
}

// Of every step: sorted once, not for each rank without itself.
std::vector<double> Lateness(std::span<const double> arrivals) {
  if (arrivals.size() < 2) return std::vector<double>(arrivals.size());
  std::vector<double> sorted(arrivals.begin(), arrivals.end());
  std::sort(sorted.begin(), sorted.end());
  const size_t others = sorted.size() - 1;
  std::vector<double> late;
  late.reserve(arrivals.size());
  for (const double arrival : arrivals) {
    const auto own = static_cast<size_t>(std::lower_bound(sorted.begin(), sorted.end(), arrival) -
                                         sorted.begin());
    const auto other = [&](size_t i) { return sorted[i < own ? i : i + 1]; };
    late.push_back(arrival - 0.5 * (other((others - 1) / 2) + other(others / 2)));
  }
  return late;
}

}  // namespace lockstep
