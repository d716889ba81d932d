// Pass: a place in one arena for every value that lives only inside a run.
#ifndef LOCKSTEP_ENGINE_PLAN_MEMORY_H_
#define LOCKSTEP_ENGINE_PLAN_MEMORY_H_

#include <cstdint>
#include <memory>
#include <set>
#include <vector>

#include "engine/plan/instruction.h"

namespace lockstep {

struct MemoryPlan {
  std::vector<int64_t> offset;          // by ValueId; -1: not in the arena
  std::vector<int64_t> scratch_offset;  // by instruction
  std::vector<ValueId> alias_root;      // by ValueId: whose memory it is; itself for most
  int64_t bytes = 0;
};

// Values whose lives overlap do not share bytes. An output takes over its reusable input when that
// dies there. `kept` values live to the end of the run.
MemoryPlan PlaceMemory(const std::vector<PlanValue>& values,
                       const std::vector<std::unique_ptr<Instruction>>& instructions,
                       const std::set<ValueId>& kept);

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_PLAN_MEMORY_H_
