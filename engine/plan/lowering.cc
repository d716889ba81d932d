#include "engine/plan/lowering.h"

#include "engine/plan/gradient_sums.h"
#include "engine/plan/instructions/elementwise.h"
#include "kernels/error.h"

namespace lockstep {

Lowering::Lowering(const Graph& graph, const LoweringOptions& options)
    : value_of(graph.values().size(), -1),
      graph_(graph),
      options_(options),
      operands_(graph.nodes().size()) {}

ValueId Lowering::AddValue(PlanValue value) {
  values.push_back(std::move(value));
  needs_gradient_.push_back(false);
  return static_cast<ValueId>(values.size()) - 1;
}

ValueId Lowering::Temporary(const std::string& name, const TensorType& type) {
  return AddValue({.name = name, .type = type, .layout = {}});
}

void Lowering::Emit(std::unique_ptr<Instruction> instruction) {
  instruction->node = current_node_;
  instruction->node_name = graph_.nodes()[static_cast<size_t>(current_node_)].name;
  instruction->phase = phase_;
  instructions.push_back(std::move(instruction));
}

ValueId Lowering::CastTo(ValueId id, DType dtype) {
  if (type(id).dtype == dtype) return id;
  auto [found, is_new] = cast_of_.try_emplace({id, dtype}, -1);
  if (!is_new) return found->second;
  const PlanValue from = values[static_cast<size_t>(id)];
  const ValueId to = found->second = Temporary(from.name, {from.type.shape, dtype});
  needs_gradient_[static_cast<size_t>(to)] = NeedsGradient(id);
  Emit(std::make_unique<CastInstruction>(from.type.dtype, dtype, id, to));
  casts_.push_back({id, to, current_node_});
  return to;
}

// Its gradient is that of the weight, so that no sum over a batch is rounded to 16 bits.
ValueId Lowering::CopyOfWeight(ValueId id) {
  auto [found, is_new] = copy_of_weight_.try_emplace(id, -1);
  if (!is_new) return found->second;
  const PlanValue from = values[static_cast<size_t>(id)];
  const DType dtype = options_.compute_dtype;
  const ValueId to = found->second = Temporary(from.name, {from.type.shape, dtype});
  needs_gradient_[static_cast<size_t>(to)] = NeedsGradient(id);
  Emit(std::make_unique<CastInstruction>(from.type.dtype, dtype, id, to));
  weight_of_[to] = id;
  return to;
}

ValueId Lowering::OperandOf(ValueId id, Operand use) {
  if (options_.compute_dtype == options_.dtype || !IsFloating(type(id).dtype)) return id;
  if (use == Operand::kActivation) return CastTo(id, options_.compute_dtype);
  const ValueId full = CastTo(id, options_.dtype);
  return use == Operand::kFull ? full : CopyOfWeight(full);
}

void Lowering::LowerCastsBackward(int node) {
  current_node_ = node;
  for (size_t i = casts_.size(); i-- > 0;) {
    const CastOf cast = casts_[i];
    const ValueId dy = GradientOf(cast.to);
    if (cast.node != node || dy < 0 || !NeedsGradient(cast.from)) continue;
    const ValueId dx = NewGradient(cast.from);
    Emit(std::make_unique<CastInstruction>(type(dy).dtype, type(dx).dtype, dy, dx));
    Contribute(cast.from, dx);
  }
}

ValueId Lowering::GradientOf(ValueId id) const {
  const auto found = gradient_of_.find(GradientOwner(id));
  return found == gradient_of_.end() ? -1 : found->second;
}

ValueId Lowering::NewGradient(ValueId id) {
  id = GradientOwner(id);
  const PlanValue& value = values[static_cast<size_t>(id)];
  PlanValue gradient{.name = value.name + "/grad", .type = value.type, .layout = {}};
  if (value.storage == Storage::kVariable && GradientOf(id) < 0 && !options_.fold_gradients) {
    gradient.storage = Storage::kGradient;
    gradient.graph_value = value.graph_value;
  }
  const ValueId result = AddValue(std::move(gradient));
  ties.emplace_back(id, result);
  return result;
}

void Lowering::Contribute(ValueId id, ValueId gradient) {
  id = GradientOwner(id);
  const ValueId sum = GradientOf(id);
  if (sum < 0) {
    const bool misplaced = !options_.fold_gradients &&
                           values[static_cast<size_t>(id)].storage == Storage::kVariable &&
                           values[static_cast<size_t>(gradient)].storage != Storage::kGradient;
    if (misplaced) {
      const ValueId buffer = NewGradient(id);
      Emit(std::make_unique<ScaleInstruction>(type(buffer).dtype, 1.0, gradient, buffer));
      gradient = buffer;
    }
    gradient_of_[id] = gradient;
    return;
  }
  // A parameter's buffer takes the sum in place; other values get a new one each time.
  const bool parameter = values[static_cast<size_t>(sum)].storage == Storage::kGradient;
  const ValueId total =
      parameter ? sum : Temporary(values[static_cast<size_t>(sum)].name, type(id));
  Emit(std::make_unique<AddInstruction>(type(total).dtype, sum, gradient, total));
  gradient_of_[id] = total;
}

NodeView Lowering::View(int node) const {
  NodeView view{node, graph_.nodes()[static_cast<size_t>(node)], {}, {}};
  view.in = operands_[static_cast<size_t>(node)];
  for (const int id : view.node.outputs) view.out.push_back(value_of[static_cast<size_t>(id)]);
  return view;
}

std::vector<bool> Lowering::NeededNodes() const {
  const int result = options_.mode == Mode::kPredict ? graph_.output() : graph_.loss();
  if (result < 0) {
    throw ConfigError(options_.mode == Mode::kPredict ? "the graph has no output"
                                                      : "the graph has no loss");
  }
  std::vector<bool> needed(graph_.nodes().size(), false);
  std::vector<int> open{result};
  // A head beside the loss is not trained: it is not run either, least of all a batch norm in it.
  if (options_.mode != Mode::kTrain && graph_.output() >= 0) open.push_back(graph_.output());
  while (!open.empty()) {
    const int node = graph_.values()[static_cast<size_t>(open.back())].node;
    open.pop_back();
    if (node < 0 || needed[static_cast<size_t>(node)]) continue;
    needed[static_cast<size_t>(node)] = true;
    const auto& inputs = graph_.nodes()[static_cast<size_t>(node)].inputs;
    open.insert(open.end(), inputs.begin(), inputs.end());
  }
  return needed;
}

void Lowering::AddLeaf(int graph_value) {
  const Graph::Value& source = graph_.values()[static_cast<size_t>(graph_value)];
  PlanValue value{.name = source.name, .type = source.type, .layout = {}};
  if (IsFloating(value.type.dtype)) value.type.dtype = options_.dtype;
  value.graph_value = graph_value;
  value.storage = source.role == Role::kInput ? Storage::kInput : Storage::kVariable;
  if (source.role == Role::kInput) value.type.shape = value.type.shape.WithDim(0, options_.batch);
  const bool trained = source.role == Role::kParameter && !options_.frozen.contains(source.name);
  const bool asked =
      source.role == Role::kInput && options_.input_gradients && IsFloating(source.type.dtype);
  const ValueId id = AddValue(std::move(value));
  needs_gradient_[static_cast<size_t>(id)] = trained || asked;
  value_of[static_cast<size_t>(graph_value)] = id;
}

void Lowering::LowerForward(const std::vector<bool>& needed) {
  for (size_t n = 0; n < needed.size(); ++n) {
    if (!needed[n]) continue;
    const Graph::Node& node = graph_.nodes()[n];
    current_node_ = static_cast<int>(n);
    std::vector<TensorType> inputs;
    bool needs_gradient = false;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const int id = node.inputs[i];
      if (value_of[static_cast<size_t>(id)] < 0) AddLeaf(id);
      const ValueId value = OperandOf(value_of[static_cast<size_t>(id)], node.op->operand(i));
      operands_[n].push_back(value);
      inputs.push_back(type(value));
      needs_gradient = needs_gradient || NeedsGradient(value);
    }
    std::vector<TensorType> outputs;
    try {
      outputs = node.op->Infer(inputs);
    } catch (const ShapeError& error) {
      throw ShapeError(node.name + ": " + error.what(), error.code());
    }
    for (size_t i = 0; i < outputs.size(); ++i) {
      const int graph_value = node.outputs[i];
      const ValueId id =
          Temporary(graph_.values()[static_cast<size_t>(graph_value)].name, outputs[i]);
      needs_gradient_[static_cast<size_t>(id)] = needs_gradient && IsFloating(outputs[i].dtype);
      value_of[static_cast<size_t>(graph_value)] = id;
    }
    node.op->Forward(*this, View(current_node_));
  }
}

void Lowering::LowerBackward(const std::vector<bool>& needed) {
  phase_ = Phase::kBackward;
  for (size_t n = needed.size(); n-- > 0;) {
    if (!needed[n]) continue;
    LowerNodeBackward(static_cast<int>(n));
    LowerCastsBackward(static_cast<int>(n));
  }
}

void Lowering::LowerNodeBackward(int node) {
  const NodeView view = View(node);
  bool wanted = false;
  for (const ValueId id : view.in) wanted = wanted || NeedsGradient(id);
  bool given = graph_.values()[static_cast<size_t>(graph_.loss())].node == node;
  for (const ValueId id : view.out) given = given || GradientOf(id) >= 0;
  if (!wanted || !given) return;
  current_node_ = node;
  view.node.op->Backward(*this, view);
}

// Behind the instruction that completes a parameter's gradient comes the one that adds it to the
// sums over the lanes: it lives no longer than that.
void Lowering::FoldGradients() {
  std::map<ValueId, std::vector<int>> parameters_of;  // complete gradient -> graph values
  for (const auto& [value, gradient] : gradient_of_) {
    const PlanValue& target = values[static_cast<size_t>(value)];
    if (target.storage == Storage::kVariable) {
      parameters_of[gradient].push_back(target.graph_value);
    }
  }
  std::vector<std::unique_ptr<Instruction>> folded;
  for (auto& instruction : instructions) {
    const std::vector<ValueId> outputs = instruction->outputs;
    current_node_ = instruction->node;
    folded.push_back(std::move(instruction));
    for (const ValueId id : outputs) {
      for (const int parameter : parameters_of[id]) {
        auto fold = std::make_unique<FoldGradient>(id, parameter);
        fold->node = current_node_;
        fold->node_name = folded.back()->node_name;
        fold->phase = Phase::kBackward;
        folded.push_back(std::move(fold));
      }
    }
  }
  instructions = std::move(folded);
}

void Lowering::LowerAll() {
  const std::vector<bool> needed = NeededNodes();
  LowerForward(needed);
  if (options_.mode != Mode::kTrain) {
    // An output that no node computes: the input itself.
    const int output = graph_.output();
    if (output < 0) return;
    if (value_of[static_cast<size_t>(output)] < 0) AddLeaf(output);
    const ValueId value = value_of[static_cast<size_t>(output)];
    if (IsFloating(type(value).dtype)) {
      value_of[static_cast<size_t>(output)] = CastTo(value, options_.dtype);
    }
    return;
  }
  LowerBackward(needed);
  if (options_.fold_gradients) FoldGradients();
  for (size_t v = 0; v < value_of.size(); ++v) {
    if (graph_.values()[v].role != Role::kInput || value_of[v] < 0) continue;
    if (const ValueId g = GradientOf(value_of[v]); g >= 0)
      input_gradient_of[static_cast<int>(v)] = g;
  }
}

}  // namespace lockstep
