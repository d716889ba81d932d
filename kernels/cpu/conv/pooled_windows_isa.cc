// PooledTable, compiled once per instruction set.
#include "kernels/cpu/conv/pooled_windows.h"
#include "kernels/cpu/gemm/tile_isa.h"

namespace lockstep::cpu::LOCKSTEP_ISA {
namespace {

// Vectors of a piece of the channels: no wider than registers, no narrower than four floats.
template <int kWidth>
struct Piece {
  typedef float Floats __attribute__((vector_size(kWidth * 4), aligned(4), may_alias));
  typedef int32_t Ints __attribute__((vector_size(kWidth * 4), aligned(4), may_alias));
  typedef uint8_t Bytes __attribute__((vector_size(kWidth)));
};

// The piece that begins where `left` channels are left.
int PieceWidth(int64_t left) {
  int width = kLanes<float>;
  while (width > 4 && left <= width / 2) width /= 2;
  return width;
}

int64_t PaddedChannels(int64_t k) {
  int64_t done = 0;
  while (done < k) done += PieceWidth(k - done);
  return done;
}

void Pack(const float* weights, int64_t k, int64_t count, float* packed) {
  for (int64_t k0 = 0; k0 < k;) {
    const int width = PieceWidth(k - k0);
    for (int64_t tap = 0; tap < count; ++tap) {
      for (int lane = 0; lane < width; ++lane) {
        *packed++ = k0 + lane < k ? weights[(k0 + lane) * count + tap] : 0.0F;
      }
    }
    k0 += width;
  }
}

// The vector, or its first `count` elements.
template <bool kWhole, typename V, typename T>
__attribute__((always_inline)) inline void Store(V vector, int64_t count, T* to) {
  if constexpr (kWhole) {
    __builtin_memcpy(to, &vector, sizeof(V));
  } else {
    for (int64_t lane = 0; lane < count; ++lane) to[lane] = vector[lane];
  }
}

// Channels [k0, k0 + kWidth) of the kPixels pooled pixels from (i, j) on.
template <int kWidth, int kPixels, bool kWhole>
void PoolPixels(const PooledForward& job, int64_t i, int64_t j, int64_t k0) {
  using V = typename Piece<kWidth>::Floats;
  using Ints = typename Piece<kWidth>::Ints;
  const PooledPicture& picture = job.picture;
  const float* const first = picture.x + 2 * i * picture.row + 2 * j;
  const float* weights = job.weights + k0 * job.count;
  V sums[kPixels][4];
#pragma GCC unroll 4
  for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) sums[p][q] = V{};
  }
  for (int64_t tap = 0; tap < job.count; ++tap) {
    const float* const top = first + job.taps[tap];
    const float* const bottom = top + picture.row;
    const V w = *reinterpret_cast<const V*>(weights + tap * kWidth);
#pragma GCC unroll 4
    for (int p = 0; p < kPixels; ++p) {
      sums[p][0] += w * top[2 * p];
      sums[p][1] += w * top[2 * p + 1];
      sums[p][2] += w * bottom[2 * p];
      sums[p][3] += w * bottom[2 * p + 1];
    }
  }
  const V bias = *reinterpret_cast<const V*>(job.bias + k0);
  const int64_t at = (i * picture.width + j) * picture.k + k0, count = picture.k - k0;
#pragma GCC unroll 4
  for (int p = 0; p < kPixels; ++p) {
    V top = sums[p][0] + bias;
    Ints place{};
#pragma GCC unroll 4
    for (int q = 1; q < 4; ++q) {
      const V value = sums[p][q] + bias;
      // Or NaN; nothing wins over a NaN.
      const Ints larger = ~(value <= top) & (top == top);
      top = larger ? value : top;
      place = larger ? Ints{} + q : place;
    }
    Store<kWhole>(top, count, job.y + at + p * picture.k);
    if (job.argmax != nullptr) {
      Store<kWhole>(__builtin_convertvector(place, typename Piece<kWidth>::Bytes), count,
                    job.argmax + at + p * picture.k);
    }
  }
}

template <int kWidth, bool kWhole>
void PoolPiece(const PooledForward& job, int64_t k0) {
  // As many sums as registers hold, beside one for weights and those of what they meet.
  constexpr int kPixels = kVectorBytes == 64 ? 4 : 3;
  const int64_t width = job.picture.width;
  for (int64_t i = 0; i < job.picture.height; ++i) {
    int64_t j = 0;
    for (; j + kPixels <= width; j += kPixels) PoolPixels<kWidth, kPixels, kWhole>(job, i, j, k0);
    for (; j < width; ++j) PoolPixels<kWidth, 1, kWhole>(job, i, j, k0);
  }
}

template <int kWidth>
void PoolPiece(const PooledForward& job, int64_t k0) {
  if (job.picture.k - k0 >= kWidth) {
    PoolPiece<kWidth, true>(job, k0);
  } else {
    PoolPiece<kWidth, false>(job, k0);
  }
}

void Forward(const PooledForward& job) {
  for (int64_t k0 = 0; k0 < job.picture.k;) {
    const int width = PieceWidth(job.picture.k - k0);
#if defined(LOCKSTEP_ISA_avx512)
    if (width == 16) PoolPiece<16>(job, k0);
#endif
#if defined(LOCKSTEP_ISA_avx512) || defined(LOCKSTEP_ISA_avx2)
    if (width == 8) PoolPiece<8>(job, k0);
#endif
    if (width == 4) PoolPiece<4>(job, k0);
    k0 += width;
  }
}

// What the output pixels of two rows saw, one after the other. Whatever lies behind a row's taps
// meets sums that nobody reads.
void CopyRows(const PooledBackward& job, int64_t i) {
  using Eight = Piece<kCopyWidth>::Floats;
  const PooledPicture& picture = job.picture;
  float* to = job.rows;
  for (int down = 0; down < 2; ++down) {
    const float* from = picture.x + (2 * i + down) * picture.row;
    for (int64_t pixel = 0; pixel < 2 * picture.width; ++pixel, ++from, to += job.row_size) {
      for (int64_t r = 0; r < job.count; ++r) {
        for (int64_t tap = 0; tap < job.length; tap += kCopyWidth) {
          *reinterpret_cast<Eight*>(to + r * job.length + tap) =
              *reinterpret_cast<const Eight*>(from + job.filter_rows[r] + tap);
        }
      }
    }
  }
}

// Channels [k0, k0 + kChannels) of pooled row i.
template <int kVectors, int kChannels>
void AddChannels(const PooledBackward& job, int64_t i, int64_t k0) {
  using V = Vector<float>;
  constexpr int64_t kSize = kVectors * kLanes<float>;
  const int64_t width = job.picture.width, k = job.picture.k;
  const int64_t below = 2 * width * kSize;
  const int64_t rows[4] = {0, kSize, below, below + kSize};
  V sums[kChannels][kVectors];
  float* const to = job.sums + k0 * kSize;
#pragma GCC unroll 12
  for (int c = 0; c < kChannels; ++c) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      sums[c][v] = *reinterpret_cast<const V*>(to + c * kSize + v * kLanes<float>);
    }
  }
  const float* dy = job.dy + i * width * k + k0;
  const uint8_t* argmax = job.argmax + i * width * k + k0;
  const float* window = job.rows;
  for (int64_t j = 0; j < width; ++j, dy += k, argmax += k, window += 2 * kSize) {
#pragma GCC unroll 12
    for (int c = 0; c < kChannels; ++c) {
      const float* const row = window + rows[argmax[c]];
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        sums[c][v] += *reinterpret_cast<const V*>(row + v * kLanes<float>) * dy[c];
      }
    }
  }
#pragma GCC unroll 12
  for (int c = 0; c < kChannels; ++c) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      *reinterpret_cast<V*>(to + c * kSize + v * kLanes<float>) = sums[c][v];
    }
  }
}

template <int kVectors, int kChannels>
void AddSomeChannels(const PooledBackward& job, int64_t i, int64_t k0, int64_t channels) {
  if (channels == kChannels) return AddChannels<kVectors, kChannels>(job, i, k0);
  if constexpr (kChannels > 1) {
    AddSomeChannels<kVectors, kChannels - 1>(job, i, k0, channels);
  }
}

template <int kVectors>
void AddRow(const PooledBackward& job, int64_t i) {
  constexpr int kMost = kVectorBytes == 64 ? 12 : 12 / kVectors;  // of channels: their sums stay
  for (int64_t k0 = 0; k0 < job.picture.k; k0 += kMost) {
    const int64_t left = job.picture.k - k0;
    AddSomeChannels<kVectors, kMost>(job, i, k0, left < kMost ? left : kMost);
  }
}

template <int kVectors = kMaxPooledTaps / kLanes<float>>
void AddRows(const PooledBackward& job) {
  if (job.row_size == kVectors * kLanes<float>) {
    for (int64_t i = 0; i < job.picture.height; ++i) {
      CopyRows(job, i);
      AddRow<kVectors>(job, i);
    }
  } else if constexpr (kVectors > 1) {
    AddRows<kVectors - 1>(job);
  }
}

}  // namespace

extern const PooledTable kPooledTable;
const PooledTable kPooledTable = {kLanes<float>, PaddedChannels, Pack, Forward, AddRows<>};

}  // namespace lockstep::cpu::LOCKSTEP_ISA
