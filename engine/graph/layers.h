// Ordinary functions that add layers to a graph: x = Conv2d(x, {.out_channels = 64}, "conv1").
// They make the parameters they need, named as Chainer names them: <name>/W, <name>/b,
// <name>/gamma, <name>/beta, <name>/avg_mean, <name>/avg_var, <name>/N.
// All throw ShapeError naming the node when shapes do not fit.
#ifndef LOCKSTEP_ENGINE_GRAPH_LAYERS_H_
#define LOCKSTEP_ENGINE_GRAPH_LAYERS_H_

#include <span>
#include <string>

#include "engine/graph/graph.h"
#include "kernels/elementwise.h"

namespace lockstep {

// (n, c, h, w) -> (n, out_channels, h', w'); W (out_channels, c / groups, kernel_h, kernel_w).
struct Conv2dOptions {
  int64_t out_channels = 0;
  int64_t kernel_h = 3, kernel_w = 3;
  int64_t stride_h = 1, stride_w = 1;
  int64_t pad_h = 0, pad_w = 0;
  int64_t dilation_h = 1, dilation_w = 1;
  int64_t groups = 1;
  bool bias = true;
  Initializer weights = Initializer::LeCunNormal();
  Initializer biases = Initializer::Constant(0.0);
};
Var Conv2d(Var x, const Conv2dOptions& options, const std::string& name);

// (n, ...) -> (n, out); W (out, product of the rest).
struct LinearOptions {
  int64_t out = 0;
  bool bias = true;
  Initializer weights = Initializer::LeCunNormal();
  Initializer biases = Initializer::Constant(0.0);
};
Var Linear(Var x, const LinearOptions& options, const std::string& name);

// Per channel (axis 1) over everything else. Training normalises with the biased variance of the
// batch and moves the running statistics; evaluation uses those.
struct BatchNormOptions {
  double eps = 2e-5;
  double decay = 0.9;
  bool unbiased_running_variance = true;  // Chainer; MXNet keeps the biased one
};
Var BatchNorm(Var x, const BatchNormOptions& options, const std::string& name);

Var Relu(Var x, const std::string& name = "");
Var LeakyRelu(Var x, double slope = 0.2, const std::string& name = "");
Var Sigmoid(Var x, const std::string& name = "");
Var Tanh(Var x, const std::string& name = "");
// Inverted dropout; identity outside training. The name keys its random numbers:
// ConfigError when it is empty or taken.
Var Dropout(Var x, double ratio, const std::string& name);

struct Pool2dOptions {
  int64_t kernel_h = 2, kernel_w = 2;
  int64_t stride_h = 2, stride_w = 2;
  int64_t pad_h = 0, pad_w = 0;
  bool cover_all = false;         // round up, so that every input counts: Chainer's max pooling
  bool count_include_pad = true;  // average only
};
Var MaxPool2d(Var x, const Pool2dOptions& options, const std::string& name = "");
Var AveragePool2d(Var x, const Pool2dOptions& options, const std::string& name = "");
// (n, c, h, w) -> (n, c, 1, 1).
Var GlobalMaxPool2d(Var x, const std::string& name = "");
Var GlobalAveragePool2d(Var x, const std::string& name = "");

// `sample` is the new shape of one sample, without the batch.
Var Reshape(Var x, const Shape& sample, const std::string& name = "");
// (n, ...) -> (n, product of the rest).
Var Flatten(Var x, const std::string& name = "");
Var Add(Var a, Var b, const std::string& name = "");
// Along axis 1.
Var Concat(std::span<const Var> inputs, const std::string& name = "");

// Over axis 1 of (n, classes).
Var Softmax(Var x, const std::string& name = "");
// Losses are sums over the batch; the count they are divided by comes with them (LossSums).
// labels: int32 (n,); -1 is ignored.
Var SoftmaxCrossEntropy(Var logits, Var labels, const std::string& name = "loss");
// Over all elements; both of the same shape.
Var MeanSquaredError(Var x, Var target, const std::string& name = "loss");

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_GRAPH_LAYERS_H_
