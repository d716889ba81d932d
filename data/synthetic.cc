#include "data/synthetic.h"

#include <algorithm>
#include <span>
#include <vector>

#include "kernels/error.h"
#include "kernels/math/philox.h"

namespace lockstep {
namespace {

// Uniform numbers of stream (kind, row).
void FillUniform(uint64_t key, uint32_t kind, int64_t row, std::span<float> to) {
  for (size_t i = 0; i < to.size(); i += 4) {
    const PhiloxWords words = Philox(key, SampleCounter(static_cast<uint32_t>(i / 4), row, kind));
    for (size_t k = 0; k < std::min<size_t>(4, to.size() - i); ++k) {
      to[i + k] = UniformFloat(words[k]);
    }
  }
}

}  // namespace

Dataset SyntheticDataset(const Shape& sample, int32_t classes, int64_t rows, uint64_t seed,
                         DType dtype) {
  if (rows <= 0 || classes < 0 || (dtype != DType::kFloat32 && dtype != DType::kUint8)) {
    throw ConfigError("a made-up data set needs rows, and samples of float32 or uint8");
  }
  enum Stream : uint32_t { kNoise, kPattern, kLabel };
  const uint64_t key = RandomKey(seed, 0, RandomUse::kInitialize);
  std::vector<int64_t> extents{rows};
  extents.insert(extents.end(), sample.dims().begin(), sample.dims().end());
  Tensor features(DType::kFloat32, Shape(extents));
  Tensor labels(classes > 0 ? DType::kInt32 : DType::kFloat32, {rows});
  const auto width = static_cast<size_t>(sample.size());
  const auto count = static_cast<size_t>(std::max(classes, 1));
  std::vector<float> patterns(count * width);
  for (size_t c = 0; c < count; ++c) {
    FillUniform(key, kPattern, static_cast<int64_t>(c),
                std::span(patterns).subspan(c * width, width));
  }
  for (int64_t row = 0; row < rows; ++row) {
    const auto r = static_cast<size_t>(row);
    const std::span<float> x = features.values<float>().subspan(r * width, width);
    const uint32_t word = Philox(key, SampleCounter(0, row, kLabel))[0];
    const size_t c = word % count;
    FillUniform(key, kNoise, row, x);
    double sum = 0;
    for (size_t i = 0; i < width; ++i) {
      x[i] = 0.5F * (x[i] + patterns[c * width + i]);
      sum += x[i];
      if (dtype == DType::kUint8) x[i] *= 255.0F;
    }
    if (classes > 0) {
      labels.values<int32_t>()[r] = static_cast<int32_t>(c);
    } else {
      labels.values<float>()[r] = static_cast<float>(sum / static_cast<double>(width));
    }
  }
  return Dataset(features.Cast(dtype), labels, {{"made-up data", rows}});
}

}  // namespace lockstep
