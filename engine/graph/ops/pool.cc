#include "engine/plan/instructions/pool.h"

#include <algorithm>

#include "engine/graph/layers.h"
#include "engine/graph/ops/common.h"

namespace lockstep {
namespace {

class PoolOp : public Op {
 public:
  PoolOp(PoolKind kind, const Pool2dOptions& options) : kind_(kind), o_(options) {}
  std::string type() const override {
    return kind_ == PoolKind::kMax ? "MaxPooling2D" : "AveragePooling2D";
  }
  Attributes attributes() const override {
    return {{"kernel", Text(o_.kernel_h) + "x" + Text(o_.kernel_w)},
            {"stride", Text(o_.stride_h) + "x" + Text(o_.stride_w)},
            {"pad", Text(o_.pad_h) + "x" + Text(o_.pad_w)},
            {"cover_all", Text(o_.cover_all)},
            {"count_include_pad", Text(o_.count_include_pad)}};
  }
  std::vector<TensorType> Infer(std::span<const TensorType> inputs) const override {
    const PoolShape shape = MakeShape(inputs[0]);
    return {{Shape({shape.x.n, shape.x.c, shape.out_h, shape.out_w}), inputs[0].dtype}};
  }
  void Forward(Lowering& lowering, const NodeView& node) const override {
    lowering.Emit(std::make_unique<PoolForward>(MakeShape(lowering.type(node.in[0])), node.in[0],
                                                node.out[0]));
  }
  void Backward(Lowering& lowering, const NodeView& node) const override {
    const ValueId dx = lowering.NewGradient(node.in[0]);
    std::vector<ValueId> in{lowering.GradientOf(node.out[0])};
    const PoolShape shape = MakeShape(lowering.type(node.in[0]));
    if (kind_ == PoolKind::kMax) {
      in.insert(in.end(), {node.in[0], node.out[0]});
      // Each window gives to one pixel.
      lowering.value(dx).sparsity =
          std::max<int64_t>(1, shape.x.h * shape.x.w / (shape.out_h * shape.out_w));
    }
    lowering.Emit(std::make_unique<PoolBackward>(shape, std::move(in), dx));
    lowering.Contribute(node.in[0], dx);
  }

 private:
  PoolShape MakeShape(const TensorType& x) const {
    ExpectPicture(x);
    PoolShape shape{.x = PictureOf(x.shape),
                    .kh = o_.kernel_h,
                    .kw = o_.kernel_w,
                    .stride_h = o_.stride_h,
                    .stride_w = o_.stride_w,
                    .pad_h = o_.pad_h,
                    .pad_w = o_.pad_w,
                    .kind = kind_,
                    .count_include_pad = o_.count_include_pad,
                    .layout = {},
                    .dtype = x.dtype};
    shape.out_h = PoolShape::Out(shape.x.h, shape.kh, shape.stride_h, shape.pad_h, o_.cover_all);
    shape.out_w = PoolShape::Out(shape.x.w, shape.kw, shape.stride_w, shape.pad_w, o_.cover_all);
    // Rounding up lets a window stick out, by less than a stride, as Chainer's does: 2x2 of 1x1.
    const auto fits = [&](int64_t size, int64_t kernel, int64_t stride, int64_t pad) {
      return size + 2 * pad + (o_.cover_all ? stride - 1 : 0) >= kernel;
    };
    if (!fits(shape.x.h, shape.kh, shape.stride_h, shape.pad_h) ||
        !fits(shape.x.w, shape.kw, shape.stride_w, shape.pad_w)) {
      throw ShapeError("the window " + Text(shape.kh) + "x" + Text(shape.kw) +
                       " is larger than the padded picture of " + x.shape.ToString());
    }
    return shape;
  }

  PoolKind kind_;
  Pool2dOptions o_;
};

Var ApplyPool(Var x, PoolKind kind, const Pool2dOptions& options, const std::string& name) {
  const bool valid = options.kernel_h > 0 && options.kernel_w > 0 && options.stride_h > 0 &&
                     options.stride_w > 0 && options.pad_h >= 0 && options.pad_w >= 0 &&
                     options.pad_h < options.kernel_h && options.pad_w < options.kernel_w;
  if (!valid) {
    throw ConfigError("pooling " + name +
                      ": kernel and stride must be positive and pads smaller than the kernel");
  }
  const Var inputs[] = {x};
  return ApplyOne(std::make_shared<PoolOp>(kind, options), inputs, name);
}

Pool2dOptions WholePicture(Var x) {
  ExpectPicture({x.shape(), DType::kFloat32});
  return {.kernel_h = x.shape()[2], .kernel_w = x.shape()[3], .stride_h = 1, .stride_w = 1};
}

}  // namespace

Var MaxPool2d(Var x, const Pool2dOptions& options, const std::string& name) {
  return ApplyPool(x, PoolKind::kMax, options, name);
}

Var AveragePool2d(Var x, const Pool2dOptions& options, const std::string& name) {
  return ApplyPool(x, PoolKind::kAverage, options, name);
}

Var GlobalMaxPool2d(Var x, const std::string& name) {
  return ApplyPool(x, PoolKind::kMax, WholePicture(x), name);
}

Var GlobalAveragePool2d(Var x, const std::string& name) {
  return ApplyPool(x, PoolKind::kAverage, WholePicture(x), name);
}

}  // namespace lockstep
