// How far two arrays lie apart.
#ifndef LOCKSTEP_TESTS_ENGINE_COMPARE_H_
#define LOCKSTEP_TESTS_ENGINE_COMPARE_H_

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>

#include "engine/tensor/tensor.h"

namespace lockstep {

// The norm of the difference over the norm of `wanted` (over 1 where that is smaller than `least`);
// infinite for other shapes and for NaN.
inline double RelativeDistance(const Tensor& found, const Tensor& wanted, double least = 1e-12) {
  if (!(found.shape() == wanted.shape())) return INFINITY;
  const Tensor a = found.Cast(DType::kFloat64), b = wanted.Cast(DType::kFloat64);
  double difference = 0.0, norm = 0.0;
  for (int64_t i = 0; i < a.size(); ++i) {
    const double x = a.values<double>()[static_cast<size_t>(i)];
    const double y = b.values<double>()[static_cast<size_t>(i)];
    difference += (x - y) * (x - y);
    norm += y * y;
  }
  if (std::isnan(difference)) return INFINITY;
  return std::sqrt(difference) / (std::sqrt(norm) < least ? 1.0 : std::sqrt(norm));
}

inline void ExpectClose(const Tensor& found, const Tensor& wanted, double relative,
                        const std::string& what) {
  EXPECT_LE(RelativeDistance(found, wanted), relative)
      << what << ": " << found.shape().ToString() << " against " << wanted.shape().ToString();
}

inline bool SameBits(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         (a.bytes() == 0 || std::memcmp(a.data(), b.data(), a.bytes()) == 0);
}

}  // namespace lockstep

#endif  // LOCKSTEP_TESTS_ENGINE_COMPARE_H_
