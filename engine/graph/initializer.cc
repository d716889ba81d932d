#include "engine/graph/initializer.h"

#include <cmath>
#include <string_view>
#include <vector>

#include "kernels/math/philox.h"

namespace lockstep {
namespace {

template <typename T>
void FillConstant(Backend& backend, double value, int64_t size, void* values) {
  const std::vector<T> all(static_cast<size_t>(size), static_cast<T>(value));
  backend.Upload(all.data(), values, all.size() * sizeof(T));
}

}  // namespace

uint64_t NameHash(const std::string& name) {
  uint64_t hash = 0xCBF29CE484222325;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3;
  return hash;
}

double Initializer::Variance(const Shape& shape) const {
  const double fan_in = static_cast<double>(shape.row_size());
  const double kernel = shape.ndim() > 1 ? fan_in / static_cast<double>(shape[1]) : 1.0;
  const double fan_out = shape.ndim() > 0 ? static_cast<double>(shape[0]) * kernel : 1.0;
  switch (scheme) {
    case Scheme::kConstant:
      return 0.0;
    case Scheme::kLeCun:
      return 1.0 / fan_in;
    case Scheme::kGlorot:
      return 2.0 / (fan_in + fan_out);
    case Scheme::kHe:
      return 2.0 / fan_in;
  }
  return 0.0;
}

void Initializer::Fill(Backend& backend, DType dtype, const Shape& shape, uint64_t seed,
                       const std::string& name, void* values) const {
  const int64_t size = shape.size();
  if (scheme == Scheme::kConstant) {
    if (dtype == DType::kInt64) return FillConstant<int64_t>(backend, value, size, values);
    if (dtype == DType::kFloat64) return FillConstant<double>(backend, value, size, values);
    return FillConstant<float>(backend, value, size, values);
  }
  const uint64_t key = RandomKey(seed, NameHash(name), RandomUse::kInitialize);
  const double stddev = std::sqrt(Variance(shape));
  if (distribution == Distribution::kNormal) {
    backend.random().FillNormal(dtype, key, 0.0, stddev, size, values);
  } else {
    const double bound = std::sqrt(3.0) * stddev;
    backend.random().FillUniform(dtype, key, -bound, bound, size, values);
  }
}

}  // namespace lockstep
