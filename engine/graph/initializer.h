// How a parameter starts. Drawn from Philox keyed by (seed, parameter name): the same values on
// every rank and device, and unchanged when other layers come or go.
#ifndef LOCKSTEP_ENGINE_GRAPH_INITIALIZER_H_
#define LOCKSTEP_ENGINE_GRAPH_INITIALIZER_H_

#include <cstdint>
#include <string>

#include "kernels/backend.h"
#include "kernels/shape.h"

namespace lockstep {

// With fan_in = elements of one output's weights and fan_out = outputs * kernel elements:
//   LeCun  variance 1 / fan_in                    (Chainer's default for conv and linear)
//   Glorot variance 2 / (fan_in + fan_out)        (Glorot and Bengio, 2010)
//   He     variance 2 / fan_in                    (He et al., 2015)
// kNormal is not truncated; kUniform is on +-sqrt(3 * variance).
struct Initializer {
  enum class Scheme : uint8_t { kConstant, kLeCun, kGlorot, kHe };
  enum class Distribution : uint8_t { kNormal, kUniform };

  Scheme scheme = Scheme::kConstant;
  Distribution distribution = Distribution::kNormal;
  double value = 0.0;  // of kConstant

  static Initializer Constant(double value) {
    return {Scheme::kConstant, Distribution::kNormal, value};
  }
  static Initializer LeCunNormal() { return {Scheme::kLeCun, Distribution::kNormal, 0.0}; }
  static Initializer LeCunUniform() { return {Scheme::kLeCun, Distribution::kUniform, 0.0}; }
  static Initializer GlorotNormal() { return {Scheme::kGlorot, Distribution::kNormal, 0.0}; }
  static Initializer GlorotUniform() { return {Scheme::kGlorot, Distribution::kUniform, 0.0}; }
  static Initializer HeNormal() { return {Scheme::kHe, Distribution::kNormal, 0.0}; }
  static Initializer HeUniform() { return {Scheme::kHe, Distribution::kUniform, 0.0}; }

  // The variance for weights of this shape (out, in, kernel...); 0 for kConstant.
  double Variance(const Shape& shape) const;
  void Fill(Backend& backend, DType dtype, const Shape& shape, uint64_t seed,
            const std::string& name, void* values) const;
};

// FNV-1a of a node's or parameter's name: the `node` of RandomKey.
uint64_t NameHash(const std::string& name);

}  // namespace lockstep

#endif  // LOCKSTEP_ENGINE_GRAPH_INITIALIZER_H_
