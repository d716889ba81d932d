#include "engine/plan/instructions/conv.h"

#include "engine/graph/layers.h"
#include "engine/graph/ops/common.h"

namespace lockstep {
namespace {

// Inputs x, W and, with a bias, b.
class ConvolutionOp : public Op {
 public:
  explicit ConvolutionOp(const Conv2dOptions& options) : o_(options) {}
  std::string type() const override { return "Convolution"; }
  Attributes attributes() const override {
    return {{"out_channels", Text(o_.out_channels)},
            {"kernel", Text(o_.kernel_h) + "x" + Text(o_.kernel_w)},
            {"stride", Text(o_.stride_h) + "x" + Text(o_.stride_w)},
            {"pad", Text(o_.pad_h) + "x" + Text(o_.pad_w)},
            {"dilation", Text(o_.dilation_h) + "x" + Text(o_.dilation_w)},
            {"groups", Text(o_.groups)},
            {"bias", Text(o_.bias)}};
  }

  Operand operand(size_t input) const override {
    return input == 0 ? Operand::kActivation : Operand::kWeight;
  }

  std::vector<TensorType> Infer(std::span<const TensorType> inputs) const override {
    const ConvShape shape = MakeShape(inputs[0]);
    const Shape wanted({shape.k, shape.c / shape.groups, shape.kh, shape.kw});
    if (!(inputs[1].shape == wanted)) {
      throw ShapeError("weights are " + inputs[1].shape.ToString() + ", wanted " +
                       wanted.ToString());
    }
    return {{Shape({shape.n, shape.k, shape.out_h(), shape.out_w()}), inputs[0].dtype}};
  }

  void Forward(Lowering& lowering, const NodeView& node) const override {
    std::optional<ValueId> bias;
    if (o_.bias) bias = node.in[2];
    lowering.Emit(std::make_unique<ConvForward>(MakeShape(lowering.type(node.in[0])), node.in[0],
                                                node.in[1], bias, node.out[0]));
  }

  void Backward(Lowering& lowering, const NodeView& node) const override {
    const ConvShape shape = MakeShape(lowering.type(node.in[0]));
    const ValueId x = node.in[0], w = node.in[1];
    const ValueId dy = lowering.GradientOf(node.out[0]);
    if (o_.bias && lowering.NeedsGradient(node.in[2])) {
      const ValueId db = lowering.NewGradient(node.in[2]);
      lowering.Emit(std::make_unique<BiasBackward>(lowering.type(dy).dtype, dy, db));
      lowering.Contribute(node.in[2], db);
    }
    if (lowering.NeedsGradient(w)) {
      const ValueId dw = lowering.NewGradient(w);
      lowering.Emit(std::make_unique<ConvBackwardWeights>(shape, x, dy, dw));
      lowering.Contribute(w, dw);
    }
    if (lowering.NeedsGradient(x)) {
      const ValueId dx = lowering.NewGradient(x);
      lowering.Emit(std::make_unique<ConvBackwardData>(shape, dy, w, dx));
      lowering.Contribute(x, dx);
    }
  }

 private:
  ConvShape MakeShape(const TensorType& x) const {
    ExpectPicture(x);
    const ConvShape shape{.n = x.shape[0],
                          .c = x.shape[1],
                          .h = x.shape[2],
                          .w = x.shape[3],
                          .k = o_.out_channels,
                          .kh = o_.kernel_h,
                          .kw = o_.kernel_w,
                          .stride_h = o_.stride_h,
                          .stride_w = o_.stride_w,
                          .pad_h = o_.pad_h,
                          .pad_w = o_.pad_w,
                          .dilation_h = o_.dilation_h,
                          .dilation_w = o_.dilation_w,
                          .groups = o_.groups,
                          .dtype = x.dtype};
    const bool fits = shape.h + 2 * shape.pad_h >= shape.dilation_h * (shape.kh - 1) + 1 &&
                      shape.w + 2 * shape.pad_w >= shape.dilation_w * (shape.kw - 1) + 1;
    if (!fits) {
      throw ShapeError("the kernel " + Text(shape.kh) + "x" + Text(shape.kw) +
                       " is larger than the padded picture of " + x.shape.ToString());
    }
    return shape;
  }

  Conv2dOptions o_;
};

void CheckOptions(const Conv2dOptions& o, int64_t channels, const std::string& name) {
  const auto positive = [&](int64_t value, const char* what) {
    if (value < 1) throw ConfigError(name + ": " + what + " must be positive, got " + Text(value));
  };
  positive(o.out_channels, "out_channels");
  positive(std::min(o.kernel_h, o.kernel_w), "kernel");
  positive(std::min(o.stride_h, o.stride_w), "stride");
  positive(std::min(o.dilation_h, o.dilation_w), "dilation");
  positive(std::min(o.pad_h, o.pad_w) + 1, "pad + 1");
  positive(o.groups, "groups");
  if (channels % o.groups != 0 || o.out_channels % o.groups != 0) {
    throw ShapeError(name + ": " + Text(o.groups) + " groups do not divide " + Text(channels) +
                     " input and " + Text(o.out_channels) + " output channels");
  }
}

}  // namespace

Var Conv2d(Var x, const Conv2dOptions& options, const std::string& name) {
  if (x.shape().ndim() != 4) {
    throw ShapeError(name + ": wants a picture (n, c, h, w), got " + x.shape().ToString());
  }
  CheckOptions(options, x.shape()[1], name);
  Graph& graph = *x.graph;
  const Shape weights(
      {options.out_channels, x.shape()[1] / options.groups, options.kernel_h, options.kernel_w});
  std::vector<Var> inputs{x, graph.Parameter(name + "/W", weights, options.weights)};
  if (options.bias) {
    inputs.push_back(graph.Parameter(name + "/b", Shape({options.out_channels}), options.biases));
  }
  return ApplyOne(std::make_shared<ConvolutionOp>(options), inputs, name);
}

}  // namespace lockstep
