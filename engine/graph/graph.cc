#include "engine/graph/graph.h"

#include <utility>

#include "kernels/error.h"

namespace lockstep {
namespace {

std::string AttributeText(const Attributes& attributes) {
  std::string text;
  for (const auto& [name, value] : attributes) text += " " + name + "=" + value;
  return text;
}

std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

}  // namespace

int Graph::AddValue(Value value) {
  const auto id = static_cast<int>(values_.size());
  ids_.emplace(value.name, id);
  values_.push_back(std::move(value));
  return id;
}

int Graph::Find(const std::string& name) const {
  const auto found = ids_.find(name);
  return found == ids_.end() ? -1 : found->second;
}

Var Graph::Input(const std::string& name, const TensorType& sample) {
  if (Find(name) >= 0) throw ConfigError("the graph already has a value named " + name);
  return {this, AddValue({.name = name,
                          .role = Role::kInput,
                          .type = {sample.shape.WithBatch(1), sample.dtype},
                          .initializer = {}})};
}

Var Graph::Parameter(const std::string& name, const Shape& shape, const Initializer& initializer) {
  if (const int id = Find(name); id >= 0) {
    const Value& old = values_[static_cast<size_t>(id)];
    if (old.role != Role::kParameter || !(old.type.shape == shape)) {
      throw ConfigError("parameter " + name + " of shape " + shape.ToString() +
                        ": the name is taken by a value of shape " + old.type.shape.ToString());
    }
    return {this, id};
  }
  return {this, AddValue({.name = name,
                          .role = Role::kParameter,
                          .type = {shape, DType::kFloat32},
                          .initializer = initializer})};
}

Var Graph::State(const std::string& name, const TensorType& type, double value) {
  if (Find(name) >= 0) throw ConfigError("the graph already has a value named " + name);
  return {this, AddValue({.name = name,
                          .role = Role::kState,
                          .type = type,
                          .initializer = Initializer::Constant(value)})};
}

std::vector<Var> Graph::Apply(std::shared_ptr<const Op> op, std::span<const Var> inputs,
                              const std::string& name) {
  Node node{name.empty() ? op->type() + "_" + std::to_string(nodes_.size()) : name,
            std::move(op),
            {},
            {}};
  std::vector<TensorType> types;
  for (const Var& input : inputs) {
    if (input.graph != this) {
      throw ConfigError(node.name + ": an input belongs to another graph");
    }
    node.inputs.push_back(input.id);
    types.push_back(values_[static_cast<size_t>(input.id)].type);
  }
  std::vector<TensorType> outputs;
  try {
    outputs = node.op->Infer(types);
  } catch (const ShapeError& error) {
    throw ShapeError(node.name + ": " + error.what(), error.code());
  }
  std::vector<Var> vars;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const std::string value = i == 0 ? node.name : node.name + ":" + std::to_string(i);
    node.outputs.push_back(AddValue({.name = value,
                                     .role = Role::kComputed,
                                     .type = outputs[i],
                                     .initializer = {},
                                     .node = static_cast<int>(nodes_.size())}));
    vars.push_back({this, node.outputs.back()});
  }
  nodes_.push_back(std::move(node));
  return vars;
}

const Graph::Value& Graph::ValueOf(Var var, const char* use) const {
  const bool known =
      var.graph == this && var.id >= 0 && static_cast<size_t>(var.id) < values_.size();
  if (!known) throw ConfigError(std::string("the ") + use + " is no value of this graph");
  return values_[static_cast<size_t>(var.id)];
}

void Graph::SetOutput(Var output) {
  const Value& value = ValueOf(output, "output");
  if (value.role != Role::kComputed && value.role != Role::kInput) {
    throw ConfigError("the output " + value.name +
                      " is the same for every sample; set one that is computed from an input");
  }
  output_ = output.id;
}

void Graph::SetLoss(Var loss) {
  const Value& value = ValueOf(loss, "loss");
  const Op* op = value.node < 0 ? nullptr : nodes_[static_cast<size_t>(value.node)].op.get();
  if (op == nullptr || !op->is_loss()) {
    throw ConfigError("the loss " + value.name + " is " +
                      (op == nullptr ? "not computed" : op->type()) +
                      "; set what SoftmaxCrossEntropy or MeanSquaredError returned");
  }
  loss_ = loss.id;
}

std::string Graph::ToString() const {
  std::string text;
  for (const Value& value : values_) {
    if (value.role == Role::kInput) {
      text += value.name + " = Input " + value.type.shape.ToString() + " " +
              std::string(Name(value.type.dtype)) + "\n";
    }
  }
  for (const Node& node : nodes_) {
    text += node.name + " = " + node.op->type() + AttributeText(node.op->attributes());
    for (const int id : node.inputs) {
      const Value& value = values_[static_cast<size_t>(id)];
      text += " " + value.name;
      if (value.role != Role::kComputed) text += value.type.shape.ToString();
    }
    text += " ->";
    for (const int id : node.outputs) {
      text += " " + values_[static_cast<size_t>(id)].type.shape.ToString();
    }
    text += "\n";
  }
  return text;
}

uint64_t Graph::Hash() const {
  return NameHash(ToString() + "output " + std::to_string(output_) + " loss " +
                  std::to_string(loss_));
}

std::string Graph::ToDot() const {
  std::string dot = "digraph graphname {\n  rankdir=TB;\n";
  for (size_t i = 0; i < values_.size(); ++i) {
    const Value& value = values_[i];
    dot += "  v" + std::to_string(i) + " [label=" +
           Quoted(value.name + " " + value.type.shape.ToString() + ", " +
                  std::string(Name(value.type.dtype))) +
           ", shape=\"oval\", style=\"filled\", fillcolor=" +
           (value.role == Role::kComputed ? "\"#E0E0E0\"" : "\"#C8E6C9\"") + "];\n";
  }
  for (size_t i = 0; i < nodes_.size(); ++i) {
    const Node& node = nodes_[i];
    const std::string id = "n" + std::to_string(i);
    dot += "  " + id + " [label=" + Quoted(node.op->type()) +
           ", shape=\"box\", style=\"filled\", fillcolor=\"#BBDEFB\"];\n";
    for (const int input : node.inputs) dot += "  v" + std::to_string(input) + " -> " + id + ";\n";
    for (const int output : node.outputs) {
      dot += "  " + id + " -> v" + std::to_string(output) + ";\n";
    }
  }
  return dot + "}\n";
}

}  // namespace lockstep
