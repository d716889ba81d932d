#include "engine/plan/fusion.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "engine/plan/instructions/conv.h"
#include "engine/plan/instructions/elementwise.h"
#include "engine/plan/instructions/linear.h"
#include "engine/plan/instructions/norm.h"
#include "engine/plan/instructions/pool.h"
#include "engine/plan/instructions/pooled_conv.h"

namespace lockstep {
namespace {

class Fuser {
 public:
  Fuser(Lowering& lowering, const std::set<ValueId>& kept, Backend& backend)
      : lowering_(lowering), kept_(kept), backend_(backend), kernels_(backend.conv()) {
    Index();
  }

  void Run() {
    for (size_t i = 0; i < Count(); ++i) {
      if (As<PoolForward>(i) != nullptr) PoolBeforeRelu(i);
    }
    for (size_t i = 0; i < Count(); ++i) {
      if (auto* norm = As<BatchNormNormalize>(i)) {
        FuseTrainingNorm(norm);
        PoolBehind(norm);
      }
      if (auto* norm = As<BatchNormInference>(i)) FuseInferenceNorm(norm);
      if (auto* bias = As<BiasBackward>(i)) SumBehindPooling(bias);
    }
    for (size_t i = 0; i < Count(); ++i) {
      if (auto* conv = As<ConvForward>(i)) {
        FoldNorm(conv);
        FuseRelu(conv);
        FusePooling(conv);
      }
      if (auto* linear = As<LinearForward>(i)) FuseRelu(linear);
    }
    std::erase(lowering_.instructions, nullptr);
  }

 private:
  size_t Count() const { return lowering_.instructions.size(); }
  template <typename T>
  T* As(size_t index) const {
    return dynamic_cast<T*>(lowering_.instructions[index].get());
  }

  void Index() {
    readers_.assign(lowering_.values.size(), {});
    for (size_t i = 0; i < Count(); ++i) {
      if (!lowering_.instructions[i]) continue;
      for (const ValueId id : lowering_.instructions[i]->inputs) {
        readers_[static_cast<size_t>(id)].push_back(i);
      }
    }
  }

  const std::vector<size_t>& Readers(ValueId id) const { return readers_[static_cast<size_t>(id)]; }

  // The only instruction that reads `id`, if it is a T and the value may go.
  template <typename T>
  T* OnlyReader(ValueId id) const {
    if (kept_.contains(id) || Readers(id).size() != 1) return nullptr;
    return As<T>(Readers(id).front());
  }

  // The instruction that writes `id` first, if it is a T.
  template <typename T>
  T* Producer(ValueId id) const {
    for (size_t i = 0; i < Count(); ++i) {
      T* const found = As<T>(i);
      if (found != nullptr && found->outputs[0] == id) return found;
    }
    return nullptr;
  }

  void Remove(const Instruction* instruction) {
    for (auto& slot : lowering_.instructions) {
      if (slot.get() == instruction) slot.reset();
    }
    Index();
  }

  // The two backward instructions of a batch norm, if they alone read `gradient`.
  struct NormBackward {
    BatchNormGradientSums* sums = nullptr;
    BatchNormGradientApply* apply = nullptr;  // null where nothing below wants a gradient
  };
  NormBackward NormReaders(ValueId gradient) const {
    NormBackward found;
    for (const size_t i : Readers(gradient)) {
      if (auto* sums = As<BatchNormGradientSums>(i)) {
        found.sums = sums;
      } else if (auto* apply = As<BatchNormGradientApply>(i)) {
        found.apply = apply;
      } else {
        return {};
      }
    }
    return found;
  }

  size_t IndexOf(const Instruction* line) const {
    const auto& lines = lowering_.instructions;
    const auto found = std::find_if(lines.begin(), lines.end(),
                                    [&](const auto& each) { return each.get() == line; });
    return static_cast<size_t>(found - lines.begin());
  }

  // What stands between a convolution and its max pooling.
  struct ReluAndPool {
    ActivationForward* relu = nullptr;
    ActivationBackward* relu_backward = nullptr;  // null where the convolution gets no gradient,
    PoolBackward* pool_backward = nullptr;        // as this is then
  };

  // If nobody else reads what the ReLU makes, and the gradient of that.
  std::optional<ReluAndPool> ReluInFrontOf(const PoolForward& pool) const {
    const ValueId activated = pool.inputs[0];
    ReluAndPool found{.relu = Producer<ActivationForward>(activated)};
    if (found.relu == nullptr || found.relu->function != Activation::kRelu) return std::nullopt;
    if (kept_.contains(activated)) return std::nullopt;
    size_t readers = 1;
    for (const size_t i : Readers(activated)) {
      if (auto* line = As<ActivationBackward>(i)) {
        found.relu_backward = line;
        ++readers;
      } else if (auto* back = As<PoolBackward>(i)) {
        found.pool_backward = back;
        ++readers;
      }
    }
    if (readers != Readers(activated).size()) return std::nullopt;
    if ((found.relu_backward == nullptr) != (found.pool_backward == nullptr)) return std::nullopt;
    if (found.pool_backward == nullptr) return found;
    const ValueId gradient = found.pool_backward->outputs[0];
    const bool alone = OnlyReader<ActivationBackward>(gradient) == found.relu_backward;
    return alone ? std::optional(found) : std::nullopt;
  }

  // conv, ReLU, max pooling: as the largest of what a ReLU makes is what it makes of the largest,
  // it may come behind the pooling, where there is less of it, with the same bits. A window without
  // a positive element gives its gradient to nobody either way.
  void PoolBeforeRelu(size_t index) {
    auto& lines = lowering_.instructions;
    auto* const pool = As<PoolForward>(index);
    const PoolShape& shape = pool->shape();
    if (shape.kind != PoolKind::kMax || !shape.windows_hold_pixels()) return;
    const std::optional<ReluAndPool> found = ReluInFrontOf(*pool);
    if (!found) return;
    ActivationForward* const relu = found->relu;
    const ValueId x = relu->inputs[0], y = pool->outputs[0];
    const auto* const conv = Producer<ConvForward>(x);
    if (conv == nullptr) return;
    // Without a gradient the convolution's own ReLU costs nothing, unless it keeps the two apart.
    const bool fuses = IsByTwo(shape) && kernels_.can_pool(conv->shape());
    if (found->pool_backward == nullptr && !fuses) return;

    const auto temporary = [&](ValueId like, const char* suffix) {
      return lowering_.Temporary(lowering_.value(like).name + suffix, lowering_.type(like));
    };
    const ValueId pooled = temporary(y, "/before ReLU");
    pool->inputs[0] = x;
    pool->outputs[0] = pooled;
    relu->inputs[0] = pooled;
    relu->outputs[0] = y;
    std::swap(lines[IndexOf(relu)], lines[index]);
    if (auto* const back = found->pool_backward) {
      ActivationBackward* const relu_back = found->relu_backward;
      const ValueId dy = back->inputs[0], dx = relu_back->outputs[0];
      const ValueId masked = temporary(dy, "/before ReLU");
      lowering_.value(dx).sparsity = lowering_.value(back->outputs[0]).sparsity;
      relu_back->inputs = {y, dy};
      relu_back->outputs[0] = masked;
      back->inputs = {masked, x, pooled};
      back->outputs[0] = dx;
      std::swap(lines[IndexOf(relu_back)], lines[IndexOf(back)]);
    }
    Index();
  }

  void FuseTrainingNorm(BatchNormNormalize* norm) {
    auto* relu = OnlyReader<ActivationForward>(norm->outputs[0]);
    if (relu == nullptr || relu->function != Activation::kRelu) return;
    const ValueId activated = relu->outputs[0];
    ActivationBackward* relu_backward = nullptr;
    for (const size_t i : Readers(activated)) {
      if (auto* found = As<ActivationBackward>(i)) relu_backward = found;
    }
    if (relu_backward == nullptr) return;
    const NormBackward backward = NormReaders(relu_backward->outputs[0]);
    if (backward.sums == nullptr) return;

    ValueId result = activated;
    ValueId gradient = relu_backward->inputs[1];
    DropoutInstruction* dropout = DropoutBehind(activated);
    DropoutInstruction* dropout_backward = nullptr;
    if (dropout != nullptr) dropout_backward = DropoutProducing(gradient);
    NormTail tail{.activation = Activation::kRelu};
    if (dropout_backward != nullptr) {
      tail.dropout_ratio = dropout->ratio;
      tail.dropout_hash = dropout->hash;
      result = dropout->outputs[0];
      gradient = dropout_backward->inputs[0];
    }
    norm->tail = tail;
    norm->outputs[0] = result;
    for (NormInstruction* user : {static_cast<NormInstruction*>(backward.sums),
                                  static_cast<NormInstruction*>(backward.apply)}) {
      if (user == nullptr) continue;
      user->tail = tail;
      user->inputs[1] = gradient;
      user->inputs.push_back(result);
    }
    Remove(relu);
    Remove(relu_backward);
    if (dropout_backward != nullptr) {
      Remove(dropout);
      Remove(dropout_backward);
    }
  }

  // The max pooling behind what a batch norm has made with its ReLU, if nobody else reads that but
  // the backward pass of the two. The gradient of the pooling's input is then never made, nor read.
  void PoolBehind(BatchNormNormalize* norm) {
    if (norm->tail.empty() || norm->tail.dropout_ratio > 0.0) return;
    if (IsHalf(norm->dtype()) || backend_.norm().pooled() == nullptr) return;
    const ValueId activated = norm->outputs[0];
    if (kept_.contains(activated)) return;
    PoolForward* pool = nullptr;
    PoolBackward* pool_backward = nullptr;
    size_t others = 0;
    for (const size_t i : Readers(activated)) {
      if (auto* forward = As<PoolForward>(i); forward != nullptr && pool == nullptr) {
        pool = forward;
      } else if (auto* back = As<PoolBackward>(i); back != nullptr && pool_backward == nullptr) {
        pool_backward = back;
      } else {
        ++others;
      }
    }
    if (pool == nullptr || pool_backward == nullptr) return;
    const PoolShape& shape = pool->shape();
    if (!IsByTwo(shape) || shape.x.h != 2 * shape.out_h || shape.x.w != 2 * shape.out_w) return;
    const NormBackward backward = NormReaders(pool_backward->outputs[0]);
    const size_t expected = (backward.sums != nullptr) + (backward.apply != nullptr);
    if (backward.sums == nullptr || others != expected) return;

    const ValueId pooled = pool->outputs[0];
    for (NormInstruction* user : {static_cast<NormInstruction*>(backward.sums),
                                  static_cast<NormInstruction*>(backward.apply)}) {
      if (user == nullptr) continue;
      user->tail.pooled = true;
      user->inputs[1] = pool_backward->inputs[0];
      user->inputs.back() = pooled;
    }
    backward.sums->inputs.push_back(norm->inputs[3]);
    norm->tail.pooled = true;
    norm->outputs[0] = pooled;
    Remove(pool);
    Remove(pool_backward);
  }

  // The dropout that is the only forward reader of an activation's output.
  DropoutInstruction* DropoutBehind(ValueId activated) const {
    if (kept_.contains(activated)) return nullptr;
    DropoutInstruction* dropout = nullptr;
    for (const size_t i : Readers(activated)) {
      if (As<ActivationBackward>(i) != nullptr) continue;
      auto* found = As<DropoutInstruction>(i);
      if (found == nullptr || dropout != nullptr) return nullptr;
      dropout = found;
    }
    return dropout;
  }

  // The dropout instruction that writes `gradient`, if nobody else reads that.
  DropoutInstruction* DropoutProducing(ValueId gradient) const {
    return Readers(gradient).size() == 1 ? Producer<DropoutInstruction>(gradient) : nullptr;
  }

  // A bias in front of a pooling: the gradient behind it has the same sums of fewer elements.
  void SumBehindPooling(BiasBackward* bias) {
    while (const auto* pool = Producer<PoolBackward>(bias->inputs[0])) {
      if (!pool->keeps_sums()) break;
      bias->inputs[0] = pool->inputs[0];
    }
    Index();
  }

  void FuseInferenceNorm(BatchNormInference* norm) {
    auto* relu = OnlyReader<ActivationForward>(norm->outputs[0]);
    if (relu == nullptr || relu->function != Activation::kRelu) return;
    norm->tail.activation = Activation::kRelu;
    norm->outputs[0] = relu->outputs[0];
    Remove(relu);
  }

  void FoldNorm(ConvForward* conv) {
    // Folded weights of 16 bits would be rounded twice.
    if (IsHalf(lowering_.type(conv->outputs[0]).dtype)) return;
    auto* norm = OnlyReader<BatchNormInference>(conv->outputs[0]);
    if (norm == nullptr) return;
    conv->FoldBatchNorm(norm->inputs[1], norm->inputs[2], norm->inputs[3], norm->inputs[4],
                        norm->eps());
    conv->activation = norm->tail.activation;
    conv->outputs[0] = norm->outputs[0];
    Remove(norm);
  }

  template <typename Layer>
  void FuseRelu(Layer* layer) {
    if (layer->activation != Activation::kIdentity) return;
    auto* relu = OnlyReader<ActivationForward>(layer->outputs[0]);
    if (relu == nullptr || relu->function != Activation::kRelu) return;
    layer->activation = Activation::kRelu;
    layer->outputs[0] = relu->outputs[0];
    Remove(relu);
  }

  // The max pooling that follows a convolution, and in training what follows from it.
  struct Pooling {
    PoolForward* forward = nullptr;
    PoolBackward* backward = nullptr;        // null where the convolution gets no gradient
    ConvBackwardWeights* weights = nullptr;  // null where the weights get none
  };

  // If nobody else reads what the convolution makes, and the gradient of that.
  std::optional<Pooling> PoolingOf(const ConvForward& conv) const {
    Pooling found;
    for (const size_t i : Readers(conv.outputs[0])) {
      if (auto* forward = As<PoolForward>(i); forward != nullptr && found.forward == nullptr) {
        found.forward = forward;
      } else if (auto* back = As<PoolBackward>(i); back != nullptr && found.backward == nullptr) {
        found.backward = back;
      } else {
        return std::nullopt;
      }
    }
    if (found.forward == nullptr || kept_.contains(conv.outputs[0])) return std::nullopt;
    if (found.backward == nullptr) return found;
    const ValueId gradient = found.backward->outputs[0];
    // Nobody: a bias alone learns, which sums up behind the pooling.
    if (Readers(gradient).empty() && !kept_.contains(gradient)) return found;
    found.weights = OnlyReader<ConvBackwardWeights>(gradient);
    return found.weights != nullptr ? std::optional(found) : std::nullopt;
  }

  static bool IsByTwo(const PoolShape& s) {
    return s.kind == PoolKind::kMax && s.kh == 2 && s.kw == 2 && s.stride_h == 2 &&
           s.stride_w == 2 && s.pad_h == 0 && s.pad_w == 0;
  }

  void FusePooling(ConvForward* conv) {
    if (conv->activation != Activation::kIdentity || conv->folds()) return;
    const std::optional<Pooling> pooling = PoolingOf(*conv);
    if (!pooling || !IsByTwo(pooling->forward->shape())) return;
    const ConvShape shape = conv->shape();
    if (!kernels_.can_pool(shape)) return;
    std::optional<ValueId> argmax;
    if (pooling->weights != nullptr) {
      const ValueId y = pooling->forward->outputs[0];
      const Shape y_shape = lowering_.shape(y);
      const TensorType type{Shape({y_shape[0], y_shape.row_size()}), DType::kUint8};
      argmax = lowering_.Temporary(lowering_.value(y).name + "/argmax", type);
      const ConvBackwardWeights& weights = *pooling->weights;
      Replace(&weights, std::make_unique<PooledConvBackwardWeights>(shape, weights.inputs[0],
                                                                    pooling->backward->inputs[0],
                                                                    *argmax, weights.outputs[0]));
    }
    if (pooling->backward != nullptr) Remove(pooling->backward);
    Replace(pooling->forward, std::make_unique<PooledConvForward>(
                                  shape, conv->inputs, pooling->forward->outputs[0], argmax));
    Remove(conv);
  }

  void Replace(const Instruction* old, std::unique_ptr<Instruction> next) {
    next->node = old->node;
    next->node_name = old->node_name;
    next->phase = old->phase;
    lowering_.instructions[IndexOf(old)] = std::move(next);
    Index();
  }

  Lowering& lowering_;
  const std::set<ValueId>& kept_;
  Backend& backend_;
  const ConvKernels& kernels_;
  std::vector<std::vector<size_t>> readers_;
};

}  // namespace

void Fuse(Lowering& lowering, const std::set<ValueId>& kept, Backend& backend) {
  Fuser(lowering, kept, backend).Run();
}

}  // namespace lockstep
