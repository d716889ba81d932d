#include "engine/plan/join.h"

namespace lockstep {

void RunJoin(Instruction& line, std::span<const RunContext> mine, const RunContext& any,
             LaneExchange* exchange) {
  const int64_t size = line.join_size();
  std::vector<double> given(mine.size() * static_cast<size_t>(size));
  for (size_t i = 0; i < mine.size(); ++i) {
    line.GiveToJoin(mine[i], given.data() + i * static_cast<size_t>(size));
  }
  JoinedLanes lanes{.given = given, .mine = mine, .any = &any};
  if (exchange != nullptr) {
    lanes.given = exchange->Exchange(given, size);
    lanes.first = exchange->first_lane();
  }
  line.Join(lanes);
}

}  // namespace lockstep
