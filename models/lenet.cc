#include "models/networks.h"

namespace lockstep {
namespace {

// Two 5x5 windows with a halving, rounded up, in between: 13 -> 9 -> 5 -> 1 -> 1.
constexpr int64_t kLeastSide = 13;

// Caffe's pooling rounds up.
Var Halve(Var x, const std::string& name) { return MaxPool2d(x, {.cover_all = true}, name); }

}  // namespace

// No activation behind the convolutions: that is how Caffe defines it.
Var LenetNetwork(Var x, const ModelSpec& spec) {
  ExpectPictures(spec, kLeastSide);
  const auto conv = [&](Var in, int64_t channels, const std::string& name) {
    return Conv2d(in, {.out_channels = ScaledUnits(channels, spec), .kernel_h = 5, .kernel_w = 5},
                  "predictor/" + name);
  };
  x = Halve(conv(x, 20, "conv1"), "predictor/pool1");
  x = Halve(conv(x, 50, "conv2"), "predictor/pool2");
  x = Relu(Linear(x, {.out = ScaledUnits(500, spec)}, "predictor/fc1"), "predictor/relu1");
  return Linear(x, {.out = spec.classes}, "predictor/fc2");
}

}  // namespace lockstep
