#include "kernels/cpu/pooled_norm.h"

#include "kernels/cpu/norm_groups.h"

namespace lockstep::cpu {
namespace {

// body(rows) for groups of channels of pictures and of what they are pooled to.
template <typename Body>
void ForPooledGroups(const BatchNormShape& shape, const Body& body) {
  ForChannelGroups(shape.picture, shape.layout, false, [&](const ChannelRows& x) {
    ChannelRows y = x;
    const int64_t in_block = x.base % x.row_stride;
    y.base = (x.base - in_block) / 4 + in_block;
    y.rows /= 4;
    y.sample_stride /= 4;
    y.block_stride /= 4;
    body(PooledRows{x, y, shape.picture.w / 2});
  });
}

// Which way the largest of what is made of x lies.
template <typename T>
struct GroupSigns {
  alignas(64) T values[kGroupChannels];
  GroupSigns(const ChannelRows& g, const T* gamma) {
    for (int64_t i = 0; i < g.blocks * g.width; ++i) {
      const T of = gamma[g.c0 + i];
      values[i] = static_cast<T>((of > 0) - (of < 0));
    }
  }
};

}  // namespace

void CpuPooledNorm::Normalize(const BatchNormShape& shape, const void* x, const double* mean,
                              const double* inv_std, const void* gamma, const void* beta, void* y) {
  WithType(*isa_, shape.dtype, [&](const auto& loops, auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    ForPooledGroups(shape, [&](const PooledRows& g) {
      GroupConstants<T> k;
      k.SetNormalize(g.x, mean, inv_std, As(gamma, type), As(beta, type));
      const GroupSigns<T> sign(g.x, As(gamma, type));
      const NormalizeArgs<T> args{k.high, k.factor, k.offset, true, {}};
      ParallelFor(g.y.samples * g.y.blocks * g.y.rows, GrainOf(4 * g.y.width),
                  [&](int64_t begin, int64_t end) {
                    loops.pooled_norm.normalize(g, begin, end, args, sign.values, As(x, type),
                                                As(y, type));
                  });
    });
  });
}

void CpuPooledNorm::GradientSums(const BatchNormShape& shape, const void* x, const void* y,
                                 const void* dy, const double* mean, const double* inv_std,
                                 const void* gamma, double* sum_dz, double* sum_dz_xhat) {
  WithType(*isa_, shape.dtype, [&](const auto& loops, auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    ForPooledGroups(shape, [&](const PooledRows& g) {
      GradientParts parts;
      alignas(64) T high[kGroupChannels];
      for (int64_t i = 0; i < g.x.blocks * g.x.width; ++i) {
        high[i] = static_cast<T>(mean[g.x.c0 + i]);
      }
      const GroupSigns<T> sign(g.x, As(gamma, type));
      const GradientArgs<T> args{high, true, 1, nullptr, nullptr, nullptr};
      ForChunks(g.y, [&](int64_t b, int64_t begin, int64_t end, int64_t at) {
        loops.pooled_norm.gradient_sums(g, b, begin, end, args, sign.values, As(x, type),
                                        As(y, type), As(dy, type), parts.dz + at, parts.dz_x + at);
      });
      parts.Finish(g.y, high, mean, inv_std, sum_dz, sum_dz_xhat);
    });
  });
}

void CpuPooledNorm::GradientApply(const BatchNormShape& shape, const void* x, const void* y,
                                  const void* dy, const double* mean, const double* inv_std,
                                  const void* gamma, const double* sum_dz,
                                  const double* sum_dz_xhat, const double* m, void* dx) {
  WithType(*isa_, shape.dtype, [&](const auto& loops, auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    ForPooledGroups(shape, [&](const PooledRows& g) {
      GroupConstants<T> k;
      k.SetGradient(g.x, mean, inv_std, As(gamma, type), sum_dz, sum_dz_xhat, *m);
      const GroupSigns<T> sign(g.x, As(gamma, type));
      const GradientArgs<T> args{k.high, true, 1, k.factor, k.offset, k.x_factor};
      ParallelFor(g.y.samples * g.y.blocks * g.y.rows, GrainOf(4 * g.y.width),
                  [&](int64_t begin, int64_t end) {
                    loops.pooled_norm.gradient_apply(g, begin, end, args, sign.values, As(x, type),
                                                     As(y, type), As(dy, type), As(dx, type));
                  });
    });
  });
}

}  // namespace lockstep::cpu
