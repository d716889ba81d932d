// How the work of a normalisation is cut, and the numbers of a group of channels.
#ifndef LOCKSTEP_KERNELS_CPU_NORM_GROUPS_H_
#define LOCKSTEP_KERNELS_CPU_NORM_GROUPS_H_

#include <cstdint>

#include "kernels/cpu/channel_groups.h"
#include "kernels/cpu/parallel.h"
#include "kernels/math/norm_maps.h"

namespace lockstep::cpu {

// body(run, chunk's first position, its end, channel offset of the results in [chunk][channel])
// for every chunk of every run of a group, in parallel.
template <typename Body>
void ForChunks(const ChannelRows& g, const Body& body) {
  const int64_t chunks = ChunkCount(g);
  const int64_t positions = g.samples * g.rows;
  ParallelFor(chunks * g.blocks, GrainOf(positions * g.width / chunks),
              [&](int64_t begin, int64_t end) {
                for (int64_t i = begin; i < end; ++i) {
                  const int64_t k = i / g.blocks;
                  const int64_t b = i % g.blocks;
                  body(b, positions * k / chunks, positions * (k + 1) / chunks,
                       (k * g.blocks + b) * g.width);
                }
              });
}

// Constants of a group's channels in T; see NormalizeArgs and GradientArgs.
template <typename T>
struct GroupConstants {
  alignas(64) T high[kGroupChannels];
  alignas(64) T factor[kGroupChannels];
  alignas(64) T offset[kGroupChannels];
  alignas(64) T x_factor[kGroupChannels];

  void SetNormalize(const ChannelRows& g, const double* mean, const double* inv_std, const T* gamma,
                    const T* beta) {
    for (int64_t i = 0; i < g.blocks * g.width; ++i) {
      const int64_t c = g.c0 + i;
      const auto of = math::NormalizeConstantsOf<T>(mean[c], inv_std[c], gamma[c], beta[c]);
      high[i] = of.high;
      factor[i] = of.factor;
      offset[i] = of.offset;
    }
  }
  void SetGradient(const ChannelRows& g, const double* mean, const double* inv_std, const T* gamma,
                   const double* sum_dz, const double* sum_dz_xhat, double m) {
    for (int64_t i = 0; i < g.blocks * g.width; ++i) {
      const int64_t c = g.c0 + i;
      const auto of =
          math::GradientConstantsOf<T>(mean[c], inv_std[c], gamma[c], sum_dz[c], sum_dz_xhat[c], m);
      high[i] = of.high;
      factor[i] = of.dz_factor;
      offset[i] = of.offset;
      x_factor[i] = of.x_factor;
    }
  }
};

// The sums of a group's chunks, which lie as [chunk][channel], in the order of the chunks.
struct GradientParts {
  double dz[kMaxChunks * kGroupChannels];
  double dz_x[kMaxChunks * kGroupChannels];

  // Of terms dz and dz * (x - high), for channels of `g`.
  template <typename T>
  void Finish(const ChannelRows& g, const T* high, const double* mean, const double* inv_std,
              double* sum_dz, double* sum_dz_xhat) const {
    const int64_t chunks = ChunkCount(g);
    const int64_t channels = g.blocks * g.width;
    for (int64_t i = 0; i < channels; ++i) {
      double sum = 0;
      double sum_x = 0;
      for (int64_t k = 0; k < chunks; ++k) {
        sum += dz[k * channels + i];
        sum_x += dz_x[k * channels + i];
      }
      const int64_t c = g.c0 + i;
      sum_dz[c] = sum;
      sum_dz_xhat[c] = inv_std[c] * (sum_x - (mean[c] - static_cast<double>(high[i])) * sum);
    }
  }
};

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_NORM_GROUPS_H_
