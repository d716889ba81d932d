// What a node of a graph computes.
#ifndef LOCKSTEP_ENGINE_GRAPH_OP_H_
#define LOCKSTEP_ENGINE_GRAPH_OP_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/graph/attributes.h"
#include "engine/tensor/tensor.h"

namespace lockstep {

class Lowering;
struct NodeView;

// How an op takes an input where a plan computes in 16 bits and parameters are float32: plans
// convert what lies there otherwise. Instructions are made of the types of values (Lowering::type).
enum class Operand : uint8_t {
  kActivation,  // in the dtype of the computation, and so is its gradient
  kWeight,      // the same, but its gradient is a sum over the batch: in the dtype of parameters
  kFull,        // in the dtype of parameters, and so is its gradient
};

// Immutable; shared by graphs and plans, used from any thread. The built-in ops are made by the
// functions of engine/graph/layers.h; to add your own, derive from CustomOp
// (engine/graph/custom_op.h).
class Op {
 public:
  virtual ~Op() = default;
  // The name of the operation in prints, drawings and files: "Convolution".
  virtual std::string type() const = 0;
  virtual Attributes attributes() const { return {}; }
  // Types of the outputs; dimension 0 of inputs that are not parameters is the batch. Throws
  // ShapeError saying what was found and wanted; the caller adds the node's name.
  virtual std::vector<TensorType> Infer(std::span<const TensorType> inputs) const = 0;
  // How each input is taken.
  virtual Operand operand(size_t /*input*/) const { return Operand::kActivation; }
  // Appends the instructions that compute the outputs from the inputs.
  virtual void Forward(Lowering& lowering, const NodeView& node) const = 0;
  // Appends the instructions that turn the gradients of the outputs into contributions to those of
  // the inputs. Called only when some output has a gradient and some input needs one.
  virtual void Backward(Lowering& lowering, const NodeView& node) const = 0;
  // Whether the output is a sum that a graph may be trained on (Graph::SetLoss): its backward pass
  // starts from nothing, and it reports to LossSums.
  virtual bool is_loss() const { return false; }
};

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_GRAPH_OP_H_
