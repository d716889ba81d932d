// Derived gradients against central differences, in double.
#ifndef LOCKSTEP_TESTS_ENGINE_GRADIENT_CHECK_H_
#define LOCKSTEP_TESTS_ENGINE_GRADIENT_CHECK_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/graph/layers.h"
#include "engine/tensor/tensor.h"
#include "tests/engine/network_runner.h"

namespace lockstep {

// Normal numbers; labels (int32) from -1 to classes - 1, the first row's being -1.
Tensor RandomNormal(const Shape& shape, uint64_t seed, double scale = 1.0);
Tensor RandomLabels(int64_t rows, int32_t classes, uint64_t seed);

// y against an input "t" of its shape, by squared error; y is the output.
void SquaredLoss(Graph& graph, Var y);
// y (n, classes) against labels "t" by cross entropy; y is the output.
void LabelLoss(Graph& graph, Var y);

// Random values for every input and parameter of the graph.
NamedTensors RandomInputs(const Graph& graph, int64_t batch, uint64_t seed);
void RandomParameters(Variables& variables, uint64_t seed, double scale = 0.5);

// Checks the gradients of every parameter and floating input: along random directions and for some
// single elements.
void ExpectGradientsAreDerivatives(const Graph& graph, int64_t batch, bool fuse,
                                   double tolerance = 1e-6);

}  // namespace lockstep

#endif  // LOCKSTEP_TESTS_ENGINE_GRADIENT_CHECK_H_
