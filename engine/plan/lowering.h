// From a graph to instructions: forward, then the derived gradients.
#ifndef LOCKSTEP_ENGINE_PLAN_LOWERING_H_
#define LOCKSTEP_ENGINE_PLAN_LOWERING_H_

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine/graph/graph.h"
#include "engine/plan/instruction.h"
#include "engine/plan/lane_norm.h"

namespace lockstep {

enum class Mode : uint8_t {
  kTrain,     // loss, gradients; dropout and batch statistics
  kEvaluate,  // loss and metric; running statistics
  kPredict,   // the graph's output only
};

struct NodeView {
  int index = -1;
  const Graph::Node& node;
  std::vector<ValueId> in, out;
};

struct LoweringOptions {
  Mode mode = Mode::kTrain;
  DType dtype = DType::kFloat32;          // of inputs, parameters and states
  DType compute_dtype = DType::kFloat32;  // `dtype`, or 16 bits beside kFloat32
  int64_t batch = 1;
  bool input_gradients = false;  // also derive gradients of floating inputs
  LaneNorm lane_norm = LaneNorm::kSync;
  bool fold_gradients = false;        // lanes: gradients of parameters go to GradientSums
  std::set<std::string> frozen = {};  // parameters that get no gradient
  // In the device's memory: what gradients of the loss are multiplied by; null: by nothing.
  const LossScale* loss_scale = nullptr;
};

// The growing program. Ops append to it; passes rewrite it afterwards.
class Lowering {
 public:
  Lowering(const Graph& graph, const LoweringOptions& options);

  // Runs over the nodes that the mode's result needs; throws ShapeError naming the node.
  void LowerAll();

  Mode mode() const { return options_.mode; }
  const LossScale* loss_scale() const { return options_.loss_scale; }
  LaneNorm lane_norm() const { return options_.lane_norm; }
  // Copies: `values` grows while ops are lowered.
  PlanValue& value(ValueId id) { return values[static_cast<size_t>(id)]; }
  TensorType type(ValueId id) const { return values[static_cast<size_t>(id)].type; }
  Shape shape(ValueId id) const { return values[static_cast<size_t>(id)].type.shape; }

  // A parameter or state itself, no copy of 16 bits.
  bool is_variable(ValueId id) const {
    return values[static_cast<size_t>(id)].storage == Storage::kVariable;
  }

  // A new value in the arena.
  ValueId Temporary(const std::string& name, const TensorType& type);
  void Emit(std::unique_ptr<Instruction> instruction);

  // Values that Forward leaves for Backward of the same node (batch statistics).
  void Save(const NodeView& node, const std::string& key, ValueId id) {
    saved_[{node.index, key}] = id;
  }
  ValueId Saved(const NodeView& node, const std::string& key) const {
    return saved_.at({node.index, key});
  }

  bool NeedsGradient(ValueId id) const { return needs_gradient_[static_cast<size_t>(id)]; }
  // The sum of the contributions so far, or -1.
  ValueId GradientOf(ValueId id) const;
  // A value for the next contribution to the gradient of `id`: the gradient buffer itself for the
  // first one to a parameter, or to its copy of 16 bits (Operand::kWeight). To be written
  // completely, then handed to Contribute.
  ValueId NewGradient(ValueId id);
  void Contribute(ValueId id, ValueId gradient);

  std::vector<PlanValue> values;
  std::vector<std::unique_ptr<Instruction>> instructions;
  // Pairs of values that lie in memory alike: each gradient as its value.
  std::vector<std::pair<ValueId, ValueId>> ties;
  // Plan value of each graph value; -1 where not needed.
  std::vector<ValueId> value_of;
  // Gradients of inputs, by graph value, when asked for.
  std::map<int, ValueId> input_gradient_of;

 private:
  ValueId AddValue(PlanValue value);
  std::vector<bool> NeededNodes() const;
  void AddLeaf(int graph_value);
  void LowerForward(const std::vector<bool>& needed);
  void LowerBackward(const std::vector<bool>& needed);
  void LowerNodeBackward(int node);
  NodeView View(int node) const;
  void FoldGradients();

  // Mixed precision: the value as an input takes it. Each is converted once.
  ValueId OperandOf(ValueId id, Operand use);
  ValueId CastTo(ValueId id, DType dtype);
  ValueId CopyOfWeight(ValueId id);
  // From the values that the node cast first to those they were cast from.
  void LowerCastsBackward(int node);
  // Whose gradient that of `id` is.
  ValueId GradientOwner(ValueId id) const {
    const auto found = weight_of_.find(id);
    return found == weight_of_.end() ? id : found->second;
  }

  const Graph& graph_;
  LoweringOptions options_;
  std::vector<bool> needs_gradient_;  // by ValueId
  std::map<ValueId, ValueId> gradient_of_;
  std::map<std::pair<int, std::string>, ValueId> saved_;
  struct CastOf {
    ValueId from = -1, to = -1;
    int node = -1;  // that was the first to want it
  };
  std::vector<CastOf> casts_;
  std::map<std::pair<ValueId, DType>, ValueId> cast_of_;
  std::map<ValueId, ValueId> copy_of_weight_, weight_of_;  // and back
  std::vector<std::vector<ValueId>> operands_;             // by node
  int current_node_ = -1;
  Phase phase_ = Phase::kForward;
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_PLAN_LOWERING_H_
