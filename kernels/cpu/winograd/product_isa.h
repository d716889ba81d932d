// The matrix products of the points; include from files compiled once per instruction set only.
#ifndef LOCKSTEP_KERNELS_CPU_WINOGRAD_PRODUCT_ISA_H_
#define LOCKSTEP_KERNELS_CPU_WINOGRAD_PRODUCT_ISA_H_

#include "kernels/cpu/winograd/vector.h"

namespace lockstep::cpu::LOCKSTEP_ISA {
namespace {

using winograd::GradientJob;
using winograd::ProductJob;

// Rows of the register tile: rows * width sums, width vectors of B and one of A fill the registers.
#if defined(LOCKSTEP_ISA_avx512)
constexpr int kRows[] = {8, 8, 8};
#elif defined(LOCKSTEP_ISA_avx2)
constexpr int kRows[] = {8, 4, 4};
#else
constexpr int kRows[] = {4, 2, 1};
#endif

// Earlier sums are added last: they may come from far, and the products need not wait for them.
LOCKSTEP_INLINE void Put(const Vec& sum, float* to, bool accumulate) {
  if (!accumulate) {
    Store(sum, to);
    return;
  }
  Vec before;
  Load(to, before);
  Store(sum + before, to);
}

// What one channel gives to the sums of some tiles.
template <int kR, int kW>
LOCKSTEP_INLINE void AddChannel(const float* v, const float* u, Vec (&sum)[kR][kW]) {
  Vec b[kW];
#pragma GCC unroll 4
  for (int w = 0; w < kW; ++w) Load(u + w * kLanes, b[w]);
#pragma GCC unroll 8
  for (int r = 0; r < kR; ++r) {
    const float a = v[r * kLanes];
#pragma GCC unroll 4
    for (int w = 0; w < kW; ++w) sum[r][w] += a * b[w];
  }
}

template <int kR, int kW>
LOCKSTEP_INLINE void ProductTile(const ProductJob& job, int64_t row) {
  constexpr int64_t kVectorStride = kGroup * kLanes;
  const int64_t group = row / kGroup, within = row % kGroup * kLanes;
  Vec sum[kR][kW] = {};
  float* m = job.m + group * job.m_group_stride + within;
  const float* v = job.v + group * job.v_group_stride + within;
  const float* u = job.u;
  for (int64_t i = 0; i < job.channels / kLanes; ++i) {
#pragma GCC unroll 16
    for (int k = 0; k < kLanes; ++k) AddChannel<kR, kW>(v + k, u + k * kW * kLanes, sum);
    v += kVectorStride;
    u += kLanes * kW * kLanes;
  }
  for (int64_t k = 0; k < job.channels % kLanes; ++k) {
    AddChannel<kR, kW>(v + k, u + k * kW * kLanes, sum);
  }
  for (int r = 0; r < kR; ++r) {
    for (int w = 0; w < kW; ++w) {
      Put(sum[r][w], m + w * kVectorStride + r * kLanes, job.accumulate);
    }
  }
}

template <int kW>
void Product(const ProductJob& job) {
  constexpr int kR = kRows[kW - 1] < kGroup ? kRows[kW - 1] : kGroup;
  int64_t row = 0;
  for (; row + kR <= job.count; row += kR) ProductTile<kR, kW>(job, row);
  for (; row < job.count; ++row) ProductTile<1, kW>(job, row);
}

template <int kR, int kW>
LOCKSTEP_INLINE void GradientTile(const GradientJob& job, int64_t vector, int64_t row) {
  Vec sum[kR][kW] = {};
  float* d = job.d + (vector * kLanes + row) * kW * kLanes;
  const float* v = job.v + vector * job.v_vector_stride + row;
  const float* n = job.n;
#pragma GCC unroll 4
  for (int64_t t = 0; t < job.count; ++t) {
    Vec b[kW];
#pragma GCC unroll 4
    for (int w = 0; w < kW; ++w) Load(n + w * job.n_vector_stride, b[w]);
#pragma GCC unroll 8
    for (int r = 0; r < kR; ++r) {
      const float a = v[r];
#pragma GCC unroll 4
      for (int w = 0; w < kW; ++w) sum[r][w] += a * b[w];
    }
    v += kLanes;
    n += kLanes;
  }
  for (int r = 0; r < kR; ++r) {
    for (int w = 0; w < kW; ++w) Put(sum[r][w], d + (r * kW + w) * kLanes, job.accumulate);
  }
}

template <int kW>
void Gradient(const GradientJob& job) {
  constexpr int kR = kRows[kW - 1];
  static_assert(8 % kR == 0);
  for (int64_t channel = 0; channel < (job.channels + 7) / 8 * 8; channel += kR) {
    GradientTile<kR, kW>(job, channel / kLanes, channel % kLanes);
  }
}

}  // namespace
}  // namespace lockstep::cpu::LOCKSTEP_ISA

#endif  // LOCKSTEP_KERNELS_CPU_WINOGRAD_PRODUCT_ISA_H_
