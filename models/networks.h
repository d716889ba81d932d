// The bodies of the networks: from x to what is predicted.
#ifndef LOCKSTEP_MODELS_NETWORKS_H_
#define LOCKSTEP_MODELS_NETWORKS_H_

#include "engine/graph/layers.h"
#include "models/model.h"

namespace lockstep {

// Chainer's MLP, examples/mnist: linear and ReLU, units 1000-1000. Names l1, l2, ...
Var MlpNetwork(Var x, const ModelSpec& spec);
// Fully connected regression, units 10-10. Names hidden1, hidden2, ..., output.
Var DnnNetwork(Var x, const ModelSpec& spec);
// Caffe's LeNet (examples/mnist/lenet.prototxt), after LeCun et al., 1998.
Var LenetNetwork(Var x, const ModelSpec& spec);
// Chainer's VGG, examples/cifar: 13 convolutions of Simonyan and Zisserman, 2015, with batch
// normalisation and dropout.
Var VggNetwork(Var x, const ModelSpec& spec);

// units * width, rounded down as Python's int() does. Throws ConfigError below 1.
int64_t ScaledUnits(int64_t units, const ModelSpec& spec);
// Throws ShapeError unless samples are pictures (c, h, w) of at least this side.
void ExpectPictures(const ModelSpec& spec, int64_t least_side);

}  // namespace lockstep

#endif  // LOCKSTEP_MODELS_NETWORKS_H_
