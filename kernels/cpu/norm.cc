#include "kernels/cpu/norm.h"

#include <cmath>

#include "kernels/cpu/norm_groups.h"
#include "kernels/cpu/random.h"
#include "kernels/norm_fusion.h"

namespace lockstep::cpu {
namespace {

void MergeParts(const ChannelRows& g, const double* part_mean, const double* part_m2, double* mean,
                double* m2) {
  const int64_t chunks = ChunkCount(g);
  const int64_t positions = g.samples * g.rows;
  const int64_t channels = g.blocks * g.width;
  for (int64_t c = 0; c < channels; ++c) {
    math::Moments all{static_cast<double>(positions / chunks), part_mean[c], part_m2[c]};
    for (int64_t k = 1; k < chunks; ++k) {
      const double more =
          static_cast<double>(positions * (k + 1) / chunks - positions * k / chunks);
      all =
          math::MergeMoments{}(all, {more, part_mean[k * channels + c], part_m2[k * channels + c]});
    }
    mean[g.c0 + c] = all.mean;
    m2[g.c0 + c] = all.m2;
  }
}

}  // namespace

void CpuNorm::Moments(const BatchNormShape& shape, const void* x, double* mean, double* m2) {
  WithType(*isa_, shape.dtype, [&](const auto& loops, auto* type) {
    ForChannelGroups(shape.picture, shape.layout, true, [&](const ChannelRows& g) {
      double part_mean[kMaxChunks * kGroupChannels];
      double part_m2[kMaxChunks * kGroupChannels];
      ForChunks(g, [&](int64_t b, int64_t begin, int64_t end, int64_t at) {
        loops.norm.moments(g, b, begin, end, As(x, type), part_mean + at, part_m2 + at);
      });
      MergeParts(g, part_mean, part_m2, mean, m2);
    });
  });
}

void CpuNorm::Normalize(const BatchNormShape& shape, const void* x, const double* mean,
                        const double* inv_std, const void* gamma, const void* beta, void* y) {
  CheckFusion(shape);
  const DropoutDraw draw = DrawOf(shape.dropout);
  WithType(*isa_, shape.dtype, [&](const auto& loops, auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    ForChannelGroups(shape.picture, shape.layout, draw.scale == 0, [&](const ChannelRows& g) {
      GroupConstants<T> k;
      k.SetNormalize(g, mean, inv_std, As(gamma, type), As(beta, type));
      const NormalizeArgs<T> args{k.high, k.factor, k.offset, shape.activation == Activation::kRelu,
                                  draw};
      ParallelFor(g.samples * g.blocks * g.rows, GrainOf(g.width), [&](int64_t begin, int64_t end) {
        loops.norm.normalize(g, begin, end, args, As(x, type), As(y, type));
      });
    });
  });
}

void CpuNorm::GradientSums(const BatchNormShape& shape, const void* x, const void* y,
                           const void* dy, const double* mean, const double* inv_std,
                           double* sum_dz, double* sum_dz_xhat) {
  CheckFusion(shape);
  WithType(*isa_, shape.dtype, [&](const auto& loops, auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    ForChannelGroups(shape.picture, shape.layout, true, [&](const ChannelRows& g) {
      GradientParts parts;
      alignas(64) T high[kGroupChannels];
      const int64_t channels = g.blocks * g.width;
      for (int64_t i = 0; i < channels; ++i) high[i] = static_cast<T>(mean[g.c0 + i]);
      const GradientArgs<T> args{
          high,    IsFused(shape), static_cast<T>(1 / (1 - shape.dropout.ratio)),
          nullptr, nullptr,        nullptr};
      ForChunks(g, [&](int64_t b, int64_t begin, int64_t end, int64_t at) {
        loops.norm.gradient_sums(g, b, begin, end, args, As(x, type), As(y, type), As(dy, type),
                                 parts.dz + at, parts.dz_x + at);
      });
      parts.Finish(g, high, mean, inv_std, sum_dz, sum_dz_xhat);
    });
  });
}

void CpuNorm::GradientApply(const BatchNormShape& shape, const void* x, const void* y,
                            const void* dy, const double* mean, const double* inv_std,
                            const void* gamma, const double* sum_dz, const double* sum_dz_xhat,
                            const double* m, void* dx) {
  CheckFusion(shape);
  WithType(*isa_, shape.dtype, [&](const auto& loops, auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    ForChannelGroups(shape.picture, shape.layout, true, [&](const ChannelRows& g) {
      GroupConstants<T> k;
      k.SetGradient(g, mean, inv_std, As(gamma, type), sum_dz, sum_dz_xhat, *m);
      const GradientArgs<T> args{
          k.high,   IsFused(shape), static_cast<T>(1 / (1 - shape.dropout.ratio)),
          k.factor, k.offset,       k.x_factor};
      ParallelFor(g.samples * g.blocks * g.rows, GrainOf(g.width), [&](int64_t begin, int64_t end) {
        loops.norm.gradient_apply(g, begin, end, args, As(x, type), As(y, type), As(dy, type),
                                  As(dx, type));
      });
    });
  });
}

}  // namespace lockstep::cpu
