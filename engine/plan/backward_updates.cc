#include "engine/plan/backward_updates.h"

#include <set>
#include <utility>
#include <vector>

#include "engine/plan/instructions/conv.h"
#include "engine/plan/instructions/custom.h"
#include "engine/plan/instructions/linear.h"

namespace lockstep {
namespace {

// Of smaller parameters the gradient is still in the cache when they are updated.
constexpr int64_t kFewElements = 1 << 14;

// Whether the line reads a layer's weights for the gradient of its input.
bool IsBackwardData(const Instruction& line) {
  return dynamic_cast<const LinearBackwardData*>(&line) != nullptr ||
         dynamic_cast<const ConvBackwardData*>(&line) != nullptr;
}

class Finder {
 public:
  Finder(Lowering& lowering, const GemmKernels& gemm) : lowering_(lowering), gemm_(gemm) {
    MoveWeightsBehindData();
    FindRoots();
    CountUses();
  }

  // From the last line on: what is read behind a line is then known.
  void Run() {
    auto& lines = lowering_.instructions;
    for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
      if (dynamic_cast<const CustomInstruction*>(line->get()) != nullptr) return;  // may fail
      for (const ValueId id : (*line)->inputs) {
        const PlanValue& root = RootOf(id);
        if (root.storage == Storage::kVariable) read_.insert(root.graph_value);
      }
      if (auto* weights = dynamic_cast<WeightsGradient*>(line->get())) {
        Consider((*line)->outputs[0], weights);
      }
    }
  }

 private:
  // Both read dy, and the data's line the weights.
  void MoveWeightsBehindData() {
    auto& lines = lowering_.instructions;
    for (size_t i = 0; i + 1 < lines.size(); ++i) {
      const auto* weights = dynamic_cast<const WeightsGradient*>(lines[i].get());
      if (weights == nullptr || !CanUpdate(lines[i]->outputs[0], *weights)) continue;
      if (!IsBackwardData(*lines[i + 1])) continue;
      if (lines[i]->node == lines[i + 1]->node) std::swap(lines[i], lines[i + 1]);
    }
  }
  bool CanUpdate(ValueId gradient, const WeightsGradient& line) const {
    const Shape& shape = lowering_.values[static_cast<size_t>(gradient)].type.shape;
    return shape.size() >= kFewElements && line.CanUpdate(gemm_);
  }

  // What lies in the same memory under other shapes.
  void FindRoots() {
    for (size_t id = 0; id < lowering_.values.size(); ++id) {
      roots_.push_back(static_cast<ValueId>(id));
    }
    for (const auto& line : lowering_.instructions) {
      if (line->is_alias()) {
        roots_[static_cast<size_t>(line->outputs[0])] =
            roots_[static_cast<size_t>(line->inputs[0])];
      }
    }
  }
  // Lines that touch a gradient.
  void CountUses() {
    uses_.assign(lowering_.values.size(), 0);
    for (const auto& line : lowering_.instructions) {
      for (const auto* ids : {&line->inputs, &line->outputs}) {
        for (const ValueId id : *ids) ++uses_[static_cast<size_t>(roots_[static_cast<size_t>(id)])];
      }
    }
  }

  const PlanValue& RootOf(ValueId id) const {
    return lowering_.values[static_cast<size_t>(roots_[static_cast<size_t>(id)])];
  }

  void Consider(ValueId id, WeightsGradient* line) const {
    const PlanValue& gradient = lowering_.values[static_cast<size_t>(id)];
    if (gradient.storage != Storage::kGradient || uses_[static_cast<size_t>(id)] != 1) return;
    if (read_.contains(gradient.graph_value)) return;
    if (!CanUpdate(id, *line)) return;
    line->parameter = gradient.graph_value;
  }

  Lowering& lowering_;
  std::vector<ValueId> roots_;
  std::vector<int> uses_;
  const GemmKernels& gemm_;
  std::set<int> read_;  // parameters, by graph value, by lines so far
};

}  // namespace

void FindBackwardUpdates(Lowering& lowering, const GemmKernels& gemm) {
  Finder(lowering, gemm).Run();
}

}  // namespace lockstep
