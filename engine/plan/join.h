// Where the lanes of a batch meet: plans that run parts of one batch, in one process or in many.
#ifndef LOCKSTEP_ENGINE_PLAN_JOIN_H_
#define LOCKSTEP_ENGINE_PLAN_JOIN_H_

#include <cstdint>
#include <span>
#include <vector>

#include "engine/plan/instruction.h"

namespace lockstep {

// Lanes of the same batch that other processes run. All of them call Exchange for the same
// instructions in the same order.
class LaneExchange {
 public:
  virtual ~LaneExchange() = default;
  // `mine`: `size` doubles of each lane of this process, in their order. Returns those of all
  // lanes; valid until the next call.
  virtual std::span<const double> Exchange(std::span<const double> mine, int64_t size) = 0;
  // How many lanes come before those of this process.
  virtual size_t first_lane() const = 0;
};

// Runs a line that joins lanes: for `mine`, which may be none where others run them. `any` is a
// context of this process. A null `exchange` says that all lanes are here.
void RunJoin(Instruction& line, std::span<const RunContext> mine, const RunContext& any,
             LaneExchange* exchange);

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_PLAN_JOIN_H_
