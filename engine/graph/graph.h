// A network as data: named nodes in the order in which they were added.
#ifndef LOCKSTEP_ENGINE_GRAPH_GRAPH_H_
#define LOCKSTEP_ENGINE_GRAPH_GRAPH_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/graph/initializer.h"
#include "engine/graph/op.h"
#include "engine/tensor/tensor.h"

namespace lockstep {

class Graph;

// A value of a graph: an input, a parameter, a state or an output of a node. Cheap to copy; valid
// while its graph lives.
struct Var {
  Graph* graph = nullptr;
  int id = -1;

  // With a batch of one.
  const Shape& shape() const;
};

enum class Role : uint8_t {
  kInput,      // fed each step; dimension 0 is the batch
  kParameter,  // trained
  kState,      // kept and saved but not trained: running statistics
  kComputed,   // output of a node
};

class Graph {
 public:
  struct Value {
    std::string name;
    Role role = Role::kComputed;
    TensorType type;          // with a batch of one; floating types stand for the plan's dtype
    Initializer initializer;  // of parameters and states
    int node = -1;            // producer, of kComputed
  };
  struct Node {
    std::string name;
    std::shared_ptr<const Op> op;
    std::vector<int> inputs;   // value ids
    std::vector<int> outputs;  // value ids
  };

  Graph() = default;
  Graph(const Graph&) = delete;  // Vars point here
  Graph& operator=(const Graph&) = delete;

  // `sample` is the type of one sample, without the batch dimension.
  Var Input(const std::string& name, const TensorType& sample);
  // Throws ConfigError when the name is taken by a value of another shape or role; the same shape
  // gives the existing parameter, which then is shared.
  Var Parameter(const std::string& name, const Shape& shape, const Initializer& initializer);
  Var State(const std::string& name, const TensorType& type, double value);
  // Adds a node; an empty name becomes "<type>_<number>". Throws ShapeError naming the node.
  std::vector<Var> Apply(std::shared_ptr<const Op> op, std::span<const Var> inputs,
                         const std::string& name);

  // What a plan computes: `output` when predicting, `loss` when training, both when evaluating.
  // Throw ConfigError unless `output` is computed or an input of this graph, and `loss` the result
  // of a loss (SoftmaxCrossEntropy, MeanSquaredError) of this graph.
  void SetOutput(Var output);
  void SetLoss(Var loss);
  int output() const { return output_; }
  int loss() const { return loss_; }

  const std::vector<Value>& values() const { return values_; }
  const std::vector<Node>& nodes() const { return nodes_; }
  // The first value of that name, or -1.
  int Find(const std::string& name) const;

  // One line a node: name, type, attributes, inputs, shapes.
  std::string ToString() const;
  // A hash of everything that decides what the network computes; equal graphs on two ranks or in
  // a checkpoint have equal hashes.
  uint64_t Hash() const;
  // Graphviz, as Chainer's computational graph: variables as ovals, functions as boxes.
  std::string ToDot() const;

 private:
  int AddValue(Value value);
  const Value& ValueOf(Var var, const char* use) const;

  std::vector<Value> values_;
  std::unordered_map<std::string, int> ids_;  // of equal names the first
  std::vector<Node> nodes_;
  int output_ = -1;
  int loss_ = -1;
};

inline const Shape& Var::shape() const {
  return graph->values()[static_cast<size_t>(id)].type.shape;
}

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_GRAPH_GRAPH_H_
