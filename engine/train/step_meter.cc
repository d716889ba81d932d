#include "engine/train/step_meter.h"

#include <algorithm>
#include <iterator>

namespace lockstep {
namespace {

constexpr double kShortestPart = 1e-7;   // seconds that a trace shows
constexpr double kShortestSpan = 20e-6;  // of extensions, some of which run in every step

size_t Index(StepPart part) { return static_cast<size_t>(part); }

const char* NameOf(StepPart part) {
  switch (part) {
    case StepPart::kStart:
      return "agree to go on";
    case StepPart::kData:
      return "data";
    case StepPart::kCompute:
      return "forward, backward";
    case StepPart::kFinish:
      return "sums of gradients";
    case StepPart::kExchange:
      return "exchange of losses";
    case StepPart::kAverage:
      return "running statistics";
    case StepPart::kUpdate:
      return "update";
    default:
      return "other";
  }
}

}  // namespace

StepMeter::StepMeter(RankGroup& group, ParamSync& sync, MeterOptions options)
    : group_(group), sync_(sync), options_(std::move(options)), clock_(group.size()) {
  if (options_.trace) trace_.emplace(*options_.trace);
  TakeInterval();
  if (group_.size() > 1) CompareClocks();
}

// The first rounds also bring the ranks together; the later ones take as long as messages do.
void StepMeter::CompareClocks() {
  constexpr int kRounds = 8;
  for (int round = 0; round < kRounds; ++round) {
    const std::vector<Passage> all = GatherValues(group_, Passage{.enter = Now(), .exit = left_});
    left_ = Now();
    Learn(all);
  }
}

void StepMeter::Learn(const std::vector<Passage>& told) {
  std::vector<Passage> passages;
  for (size_t rank = 0; rank < entered_.size(); ++rank) {
    passages.push_back({.enter = entered_[rank], .exit = told[rank].exit});
  }
  if (!passages.empty()) clock_.Add(passages);
  entered_.clear();
  for (const Passage& passage : told) entered_.push_back(passage.enter);
}

void StepMeter::Close(double now) {
  const double blocked = group_.seconds_blocked();
  parts_.in[Index(part_)] += now - since_;
  parts_.blocked[Index(part_)] += blocked - blocked_;
  spans_.push_back({part_, since_, now});
  since_ = now;
  blocked_ = blocked;
}

void StepMeter::Enter(StepPart part) {
  const double now = Now();
  const bool goes_on = under_way_ && part != StepPart::kStart &&
                       (part != StepPart::kData || part_ == StepPart::kStart);
  if (goes_on) {
    Close(now);
  } else {
    parts_ = {};
    spans_.clear();
    since_ = now;
    blocked_ = group_.seconds_blocked();
    under_way_ = true;
  }
  part_ = part;
}

StepMeter::Span StepMeter::SpanOf(StepPart part) const {
  const auto found = std::find_if(spans_.begin(), spans_.end(),
                                  [part](const Span& span) { return span.part == part; });
  return found == spans_.end() ? Span{part, since_, since_} : *found;
}

TimeShare StepMeter::EnterExchange() {
  Enter(StepPart::kExchange);
  sums_ = sync_.TakeTimes();
  return {.entered = since_,
          .left = left_,
          .arrived = SpanOf(StepPart::kCompute).end,
          .start_blocked = parts_.blocked_in(StepPart::kStart),
          .inside_blocked = parts_.blocked_inside(),
          .summing = Total(sums_)};
}

void StepMeter::LeaveExchange(const std::vector<TimeShare>& shares) {
  Enter(StepPart::kAverage);
  left_ = since_;
  shares_ = shares;
  std::vector<Passage> told;
  told.reserve(shares.size());
  for (const TimeShare& share : shares) told.push_back({share.entered, share.left});
  Learn(told);
  std::vector<double> offsets;
  offsets.reserve(shares.size());
  for (int rank = 0; rank < group_.size(); ++rank) {
    offsets.push_back(clock_.Offset(rank, group_.rank()).seconds);
  }
  arrivals_ = Arrivals(shares, offsets);
  offset_ = clock_.Offset(group_.rank(), 0).seconds;
}

void StepMeter::EndStep(int64_t iteration) {
  Close(Now());
  under_way_ = false;
  step_ = iteration;
  const double overlapped = OverlapBeside(
      sums_, group_.TakeBlocked(), SpanOf(StepPart::kData).begin, SpanOf(StepPart::kCompute).end);
  const StepTimes times = SplitStep(parts_, shares_, arrivals_, group_.rank(), overlapped);
  const double start = StartWait(shares_, group_.rank());
  const auto last =
      static_cast<size_t>(std::max_element(arrivals_.begin(), arrivals_.end()) - arrivals_.begin());
  interval_.times += times;
  ++interval_.steps;
  interval_.waited_for[LastToStart(shares_)] += start;
  interval_.waited_for[last] += times.wait - start;
  const std::vector<double> late = Lateness(arrivals_);
  for (size_t rank = 0; rank < late.size(); ++rank) interval_.lateness[rank] += late[rank];
  if (trace_ && trace_->Wants(step_)) Trace(start, times.wait - start, static_cast<int32_t>(last));
}

// A wait comes before the communication that it is for. Waits in the middle of the computation
// (where ranks meet there) are not drawn.
void StepMeter::Trace(double start_wait, double late, int32_t last) {
  const auto first = static_cast<int32_t>(LastToStart(shares_));
  late = std::max(0.0, late - parts_.blocked_inside());
  const double begin = trace_->Begin(TraceEvent::Thread::kTraining, spans_.front().begin - offset_);
  for (const SumTime& sum : sums_) {
    TraceEvent event = Event("sum of gradients", sum.begin, sum.end);
    event.bytes = sum.bytes;
    event.thread = TraceEvent::Thread::kCommunication;
    trace_->Add(event);
  }
  for (const Span& span : spans_) {
    double waited = 0.0;
    if (span.part == StepPart::kStart) waited = start_wait;
    if (span.part == StepPart::kFinish || span.part == StepPart::kExchange) {
      waited = std::min(late, span.end - span.begin);
      late -= waited;
    }
    if (waited > kShortestPart) {
      TraceEvent event = Event("wait", span.begin, span.begin + waited);
      event.waits_for = span.part == StepPart::kStart ? first : last;
      trace_->Add(event);
    }
    if (span.end - span.begin - waited < kShortestPart) continue;
    trace_->Add(Event(NameOf(span.part), span.begin + waited, span.end));
  }
  TraceEvent step = Event("step", 0.0, spans_.back().end);
  step.begin = begin;
  trace_->AddAround(step);
}

TraceEvent StepMeter::Event(const std::string& name, double begin, double end) {
  return {
      .begin = begin - offset_, .end = end - offset_, .step = step_, .name = trace_->Name(name)};
}

void StepMeter::AddSpan(const std::string& name, double begin) {
  const double now = Now();
  if (!trace_ || !trace_->Wants(step_) || now - begin < kShortestSpan) return;
  trace_->Add(Event(name, begin, now));
}

MeterInterval StepMeter::TakeInterval() {
  MeterInterval taken = std::move(interval_);
  const auto ranks = static_cast<size_t>(group_.size());
  interval_ = {.waited_for = std::vector<double>(ranks), .lateness = std::vector<double>(ranks)};
  return taken;
}

std::vector<double> StepMeter::ClockErrors() const {
  std::vector<double> errors;
  errors.reserve(static_cast<size_t>(group_.size()));
  for (int rank = 0; rank < group_.size(); ++rank) errors.push_back(clock_.Offset(rank, 0).error);
  return errors;
}

}  // namespace lockstep
