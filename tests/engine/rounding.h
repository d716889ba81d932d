// How far a training step in 16 bits may be from one in float32.
#ifndef LOCKSTEP_TESTS_ENGINE_ROUNDING_H_
#define LOCKSTEP_TESTS_ENGINE_ROUNDING_H_

#include <algorithm>
#include <cmath>
#include <sstream>
#include <string>

#include "engine/graph/graph.h"
#include "tests/engine/network_runner.h"

namespace lockstep {

// The largest relative error of one rounding.
inline double Roundoff(DType dtype) { return dtype == DType::kFloat16 ? 0x1p-11 : 0x1p-8; }

// Lines of Plan::ToString() that write values of `dtype`.
inline int64_t LinesOf(const std::string& plan, DType dtype) {
  std::istringstream lines(plan);
  int64_t count = 0;
  for (std::string line; std::getline(lines, line);) count += line.ends_with(Name(dtype));
  return count;
}

// Ops that let a gradient pass or not, and so turn a small error of what they see into a large one
// of few elements.
inline int64_t Selections(const Graph& graph) {
  return std::count_if(graph.nodes().begin(), graph.nodes().end(), [](const Graph::Node& node) {
    const std::string type = node.op->type();
    return type == "ReLU" || type == "LeakyReLU" || type == "MaxPooling2D";
  });
}

// Of gradients, as norms: |a - b| / |b|. Each of `lines` lines adds an error of at most one
// roundoff u, relative to what it writes; errors of different lines have nothing to do with each
// other, so that their squares add, and a line hands on relative errors about as large as it got
// them. The first selection sees values spread over their own size with errors near u of it, and
// decides otherwise for about 2 u of them, each then wrong by all of itself; what the i-th one sees
// has errors that have grown by sqrt(i).
inline double StepTolerance(DType dtype, int64_t lines, int64_t selections) {
  const double u = Roundoff(dtype);
  double otherwise = 0;
  for (int64_t i = 1; i <= selections; ++i) otherwise += 2 * u * std::sqrt(static_cast<double>(i));
  return std::sqrt(u * u * static_cast<double>(lines) + otherwise);
}

// |a - b| / |b| over all arrays of float32 together.
inline double Distance(const NamedTensors& a, const NamedTensors& b) {
  double difference = 0, size = 0;
  for (const auto& [name, wanted] : b) {
    const auto x = a.at(name).values<float>(), y = wanted.values<float>();
    for (size_t i = 0; i < y.size(); ++i) {
      difference += std::pow(double{x[i]} - double{y[i]}, 2);
      size += std::pow(double{y[i]}, 2);
    }
  }
  return std::sqrt(difference / size);
}

}  // namespace lockstep

#endif  // LOCKSTEP_TESTS_ENGINE_ROUNDING_H_
