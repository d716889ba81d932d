#include <algorithm>
#include <cstdio>

#include "comm/liveness/progress_table_internal.h"

namespace lockstep::liveness {
namespace {

constexpr size_t kMostLine = 1000;  // a failure file holds 1024 bytes

uint32_t MillisecondsSince(Clock::time_point then, Clock::time_point now) {
  const auto passed = std::chrono::duration_cast<Milliseconds>(now - then).count();
  return static_cast<uint32_t>(std::clamp<int64_t>(passed, 0, UINT32_MAX));
}

std::string Seconds(int64_t milliseconds) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f s", static_cast<double>(milliseconds) / 1e3);
  return text.data();
}

// "in gradients 3 (no. 812)".
std::string WhatOf(const RankState& state) {
  const std::string named = state.name + " (no. " + std::to_string(state.number) + ")";
  switch (state.state) {
    case CommProgress::State::kNone:
      return "before the first";
    case CommProgress::State::kInside:
      return "in " + named;
    case CommProgress::State::kFinished:
      return "behind " + named;
  }
  return "";
}

std::string WhatHappened(const Finding& finding, const RankState& state) {
  switch (finding.how) {
    case RankLost::How::kDied:
      return std::string("has died: its connection closed, and it had not finished") +
             (finding.short_of_memory
                  ? "; likely for want of memory: the system has killed (signal "
                    "9) a process of that host since the job began; give it "
                    "more, or use a smaller batch or network"
                  : "");
    case RankLost::How::kSilent:
      return "has not been heard of for " + Seconds(finding.silent.count()) +
             ": it is stopped, or cannot be reached";
    case RankLost::How::kStuck:
      return "does not come to a collective that others have waited in for " +
             Seconds(finding.silent.count()) + "; it is " + WhatOf(state);
    case RankLost::How::kGaveUp:
      return "gave up";
    case RankLost::How::kHangs:
      return "is, as all others, inside of a collective that none has got out of for " +
             Seconds(finding.silent.count()) +
             ": what they send each other by it does not arrive, though their heartbeats do";
  }
  return "";
}

// "0, 2-5".
std::string Ranges(const std::vector<int>& ranks) {
  std::string text;
  for (size_t i = 0; i < ranks.size();) {
    size_t last = i;
    while (last + 1 < ranks.size() && ranks[last + 1] == ranks[last] + 1) ++last;
    text += (text.empty() ? "" : ", ") + std::to_string(ranks[i]);
    if (last > i) text += "-" + std::to_string(ranks[last]);
    i = last + 1;
  }
  return text;
}

// "rank 0 in gather (no. 3); ranks 1-2 behind broadcast (no. 2)": ranks that do the same are named
// together, so that one line has room for all.
std::string Together(const ProgressTable& table, Clock::time_point now) {
  std::vector<std::pair<std::string, std::vector<int>>> groups;
  for (int rank = 0; rank < table.size(); ++rank) {
    const std::string what = WhatOf(table.At(rank, now));
    auto group = std::find_if(groups.begin(), groups.end(),
                              [&](const auto& one) { return one.first == what; });
    if (group == groups.end()) group = groups.insert(groups.end(), {what, {}});
    group->second.push_back(rank);
  }
  std::string text;
  for (const auto& [what, ranks] : groups) {
    text += text.empty() ? "" : "; ";
    text += (ranks.size() == 1 ? "rank " : "ranks ") + Ranges(ranks) + " " + what;
  }
  return text;
}

std::string TableText(const std::vector<Peer>& peers, const ProgressTable& table,
                      Clock::time_point now) {
  std::string text;
  for (int rank = 0; rank < table.size(); ++rank) {
    const RankState state = table.At(rank, now);
    text += "  rank " + std::to_string(rank) + ", " + peers[static_cast<size_t>(rank)].Where() +
            ": " + WhatOf(state) + ", since " + Seconds(state.in_state_ms) + ", told " +
            Seconds(state.age_ms) + " ago\n";
  }
  return text;
}

}  // namespace

RankState StateOf(int rank, const CommProgress& progress, Clock::time_point now) {
  RankState state;
  state.rank = rank;
  state.number = progress.number;
  state.state = progress.state;
  state.name = progress.name;
  if (state.state != CommProgress::State::kNone) {
    state.in_state_ms = MillisecondsSince(progress.since, now);
  }
  return state;
}

void ProgressTable::Update(const RankState& state, Clock::time_point now) {
  if (state.rank < 0 || state.rank >= size()) return;
  Known& known = known_[static_cast<size_t>(state.rank)];
  const Clock::time_point said = now - Milliseconds(state.age_ms);
  if (known.any && said <= known.said) return;
  known = {
      .state = state, .any = true, .said = said, .since = said - Milliseconds(state.in_state_ms)};
}

RankState ProgressTable::At(int rank, Clock::time_point now) const {
  const Known& known = known_[static_cast<size_t>(rank)];
  RankState state = known.state;
  state.rank = rank;
  if (known.any) {
    state.age_ms = MillisecondsSince(known.said, now);
    state.in_state_ms = MillisecondsSince(known.since, known.said);
  }
  return state;
}

std::vector<RankState> ProgressTable::NextPart(size_t most, Clock::time_point now) {
  std::vector<RankState> part;
  for (int i = 0; i < size() && part.size() < most; ++i) {
    const int rank = next_;
    next_ = (next_ + 1) % size();
    if (known_[static_cast<size_t>(rank)].any) part.push_back(At(rank, now));
  }
  return part;
}

bool ProgressTable::HasWaited(const Known& known, Milliseconds limit, Clock::time_point now) const {
  return known.any && known.state.state == CommProgress::State::kInside &&
         now - known.since >= limit;
}

uint64_t ProgressTable::LongWait(Milliseconds limit, Clock::time_point now) const {
  uint64_t newest = 0;
  for (const Known& known : known_) {
    if (HasWaited(known, limit, now)) newest = std::max(newest, known.state.number);
  }
  return newest;
}

RankLost Describe(const Finding& finding, const std::vector<Peer>& peers,
                  const ProgressTable& table, Clock::time_point now) {
  RankLost lost{.rank = finding.rank, .how = finding.how};
  lost.line = "rank " + std::to_string(finding.rank) + " (" +
              peers[static_cast<size_t>(finding.rank)].Where() + ") " +
              WhatHappened(finding, table.At(finding.rank, now)) +
              "; run again, it goes on from its newest checkpoint; last collectives: " +
              Together(table, now);
  if (lost.line.size() > kMostLine) lost.line = lost.line.substr(0, kMostLine - 3) + "...";
  lost.table = "last collectives:\n" + TableText(peers, table, now);
  return lost;
}

}  // namespace lockstep::liveness
