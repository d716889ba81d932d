// One kernel call of a plan.
#ifndef LOCKSTEP_ENGINE_PLAN_INSTRUCTION_H_
#define LOCKSTEP_ENGINE_PLAN_INSTRUCTION_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/tensor/tensor.h"
#include "kernels/backend.h"
#include "kernels/layout.h"
#include "kernels/softmax.h"

namespace lockstep {

class AlgorithmChooser;
class BackwardUpdates;
class GradientSums;
class LayoutGroups;

using ValueId = int;

// Where the bytes of a plan's value come from.
enum class Storage : uint8_t {
  kArena,     // placed by the memory pass
  kInput,     // handed in each run
  kVariable,  // a parameter or state, in Variables
  kGradient,  // the gradient of a parameter, in Variables
};

struct PlanValue {
  std::string name;
  TensorType type;
  Layout layout;  // of 4-D values; everything else is plain
  Storage storage = Storage::kArena;
  int graph_value = -1;  // of kInput, kVariable and kGradient
  int64_t sparsity = 1;  // of so many elements one can be other than zero, as far as is known
};

inline bool IsPicture(const PlanValue& value) {
  return value.type.shape.ndim() == 4 && value.type.shape[2] * value.type.shape[3] > 1;
}

inline PictureShape PictureOf(const Shape& shape) {
  if (shape.ndim() == 4) return {shape[0], shape[1], shape[2], shape[3]};
  return {shape[0], shape.row_size(), 1, 1};
}

// What one run hands to every instruction.
struct RunContext {
  Backend* backend = nullptr;
  void* const* pointers = nullptr;  // by ValueId
  void* scratch = nullptr;          // scratch_bytes() of the instruction at hand
  uint64_t seed = 0;
  // In the device's memory (engine/plan/run_memory.h):
  const uint32_t* epoch = nullptr;
  const int64_t* ids = nullptr;  // global sample id of each row
  LossSums* sums = nullptr;
  int64_t rows = 0;                       // of this lane, or of the whole batch
  GradientSums* gradient_sums = nullptr;  // where lanes add their gradients
  BackwardUpdates* updates = nullptr;     // of parameters on the way; null: none

  template <typename T = void>
  T* at(ValueId id) const {
    return static_cast<T*>(pointers[id]);
  }
};

// What Prepare may use: layouts and shapes are final by then.
struct PrepareContext {
  Backend& backend;
  const std::vector<PlanValue>& values;
  AlgorithmChooser& chooser;
};

// What every lane of a batch gave to an instruction that joins them.
struct JoinedLanes {
  std::span<const double> given;     // (lanes, join_size()), in the order of the lanes
  std::span<const RunContext> mine;  // of the lanes that this process runs; perhaps none
  size_t first = 0;                  // which of all lanes mine.front() is
  const RunContext* any = nullptr;   // of this process, to reach variables also without a lane
};

enum class Phase : uint8_t { kForward, kBackward };

// Made by Op::Forward and Op::Backward, changed by the passes, then run many times in order.
class Instruction {
 public:
  Instruction(std::vector<ValueId> in, std::vector<ValueId> out)
      : inputs(std::move(in)), outputs(std::move(out)) {}
  virtual ~Instruction() = default;

  // For prints and profiles: "conv forward".
  virtual std::string kind() const = 0;
  virtual std::string algorithm() const { return ""; }
  // Multiplications and additions of the plain formula.
  virtual double flops() const { return 0.0; }
  // Says which values lie in memory alike, which must be plain and which a convolution reads.
  virtual void DescribeLayouts(LayoutGroups& groups) const = 0;
  // The input whose memory output 0 may take over when nobody reads it later; -1 for none.
  virtual int reusable_input() const { return -1; }
  // Whether the elements of an input are read, and not only its shape.
  virtual bool reads(size_t /*input*/) const { return true; }
  // True when output 0 is input 0 under another shape: never copied.
  virtual bool is_alias() const { return false; }
  virtual void Prepare(const PrepareContext&) {}
  // What the chooser knows of this instruction's time under the layouts at hand; 0 where layouts
  // make no difference worth timing.
  virtual double EstimateSeconds(const PrepareContext&) const { return 0.0; }
  virtual size_t scratch_bytes() const { return 0; }
  virtual void Run(const RunContext& context) = 0;
  // The parameter whose gradient a line adds to GradientSums, as a value of the graph; else -1.
  virtual int folded() const { return -1; }
  // The few instructions that need what every lane of the batch computed: each lane gives this
  // many doubles, then all lanes' come back at once (engine/plan/join.h). 0 for all others.
  virtual int64_t join_size() const { return 0; }
  virtual void GiveToJoin(const RunContext&, double*) const {}
  virtual void Join(const JoinedLanes&) {}

  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
  int node = -1;  // of the graph
  std::string node_name;
  Phase phase = Phase::kForward;
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_PLAN_INSTRUCTION_H_
