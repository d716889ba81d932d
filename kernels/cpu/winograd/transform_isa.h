// The two-dimensional transforms between pictures or weights and points, for any algorithm of
// algebra.h; include from files compiled once per instruction set only.
#ifndef LOCKSTEP_KERNELS_CPU_WINOGRAD_TRANSFORM_ISA_H_
#define LOCKSTEP_KERNELS_CPU_WINOGRAD_TRANSFORM_ISA_H_

#include "kernels/cpu/winograd/algebra.h"

namespace lockstep::cpu::LOCKSTEP_ISA {
namespace {

using winograd::Picture;
using winograd::TileJob;
using winograd::Transforms;
using winograd::WeightJob;

using Map = void (*)(const Vec*, Vec*);

// What happens to a pixel before it is written.
struct Keep {
  void operator()(Vec&) const {}
};

struct Epilogue {
  Vec bias;
  bool relu;
  LOCKSTEP_INLINE void operator()(Vec& value) const {
    value += bias;
    if (relu) value = value < 0.0F ? Vec{} : value;  // a NaN passes
  }
};

// Hides where a pointer comes from: else the compiler computes a square's 36 addresses ahead and
// spills them, which takes longer than the transform.
template <typename T>
LOCKSTEP_INLINE void Opaque(T*& pointer) {
  __asm__("" : "+r"(pointer));
}

// (out x out) = map applied to the columns, then the rows, of (in x in). The square is read at
// `from` and the result written to `to` with the given strides in floats.
template <int kIn, int kOut, Map map, typename Finish = Keep>
LOCKSTEP_INLINE void Map2d(const float* from, int64_t row, int64_t col, float* to, int64_t to_row,
                           int64_t to_col, const Finish& finish = {}) {
  Vec half[kOut][kIn];
#pragma GCC unroll 8
  for (int j = 0; j < kIn; ++j) {
    Vec x[kIn], v[kOut];
#pragma GCC unroll 8
    for (int i = 0; i < kIn; ++i) Load(from + i * row, x[i]);
    map(x, v);
#pragma GCC unroll 8
    for (int i = 0; i < kOut; ++i) half[i][j] = v[i];
    from += col;
    Opaque(from);
  }
#pragma GCC unroll 8
  for (int i = 0; i < kOut; ++i) {
    Vec v[kOut];
    map(half[i], v);
    float* pixel = to;
#pragma GCC unroll 8
    for (int j = 0; j < kOut; ++j) {
      finish(v[j]);
      Store(v[j], pixel);
      pixel += to_col;
      Opaque(pixel);
    }
    to += to_row;
    Opaque(to);
  }
}

// A square of pixels: the float of its image, its first row and column, and whether all of it lies
// in the picture.
struct Place {
  float* image;
  int64_t y, x;
  bool inside;
};

// Tile t's square of `size` pixels, which starts `offset` from the tile's own pixels.
LOCKSTEP_INLINE Place Locate(const TileJob& job, int64_t t, int64_t step, int64_t offset,
                             int64_t size) {
  const int64_t row = t / job.cols, image = row / job.rows;
  const int64_t y = (row - image * job.rows) * step + offset,
                x = (t - row * job.cols) * step + offset;
  const bool inside = y >= 0 && x >= 0 && y + size <= job.picture.h && x + size <= job.picture.w;
  return {job.picture.data + image * job.picture.image_stride, y, x, inside};
}

LOCKSTEP_INLINE int64_t VectorOffset(const Picture& picture, int64_t vector) {
  const int64_t channel = vector * kLanes, block = channel / picture.block;
  return block * picture.block_stride + (channel - block * picture.block);
}

// body(place, vector, pixels, plane) for every tile and vector of the job: where the tile's square
// lies, its first pixel (perhaps outside the picture) and its element of the first plane. All
// vectors of a group of tiles come before the next group, so that the planes are filled line by
// line.
template <typename Body>
LOCKSTEP_INLINE void ForTiles(const TileJob& job, int64_t step, int64_t offset, int64_t size,
                              const Body& body) {
  const int64_t row = job.picture.w * job.picture.block, col = job.picture.block;
  for (int64_t g = 0; g < job.count; g += kGroup) {
    const int64_t tiles = job.count - g < kGroup ? job.count - g : kGroup;
    float* planes = job.planes + g / kGroup * job.group_stride;
    Place places[kGroup];
    for (int64_t i = 0; i < tiles; ++i) {
      places[i] = Locate(job, job.first + g + i, step, offset, size);
    }
    for (int64_t v = 0; v < job.vectors; ++v) {
      const int64_t channel = VectorOffset(job.picture, job.first_vector + v);
      for (int64_t i = 0; i < tiles; ++i) {
        const Place& at = places[i];
        body(at, v, at.image + channel + at.y * row + at.x * col,
             planes + v * job.vector_stride + i * kLanes);
      }
    }
  }
}

// Copies a square that is not wholly inside the picture, zeros outside, to rows of kSize pixels.
template <int kSize>
LOCKSTEP_INLINE void CopySquare(const Picture& picture, const Place& at, const float* from,
                                float* square) {
  const int64_t row = picture.w * picture.block, col = picture.block;
  for (int y = 0; y < kSize; ++y) {
    const bool row_inside = at.y + y >= 0 && at.y + y < picture.h;
    for (int x = 0; x < kSize; ++x) {
      Vec value = {};
      if (row_inside && at.x + x >= 0 && at.x + x < picture.w) {
        Load(from + y * row + x * col, value);
      }
      Store(value, square + (y * kSize + x) * kLanes);
    }
  }
}

// Planes from squares of kIn pixels that start `offset` from their tiles of `step` pixels.
template <int kIn, int kOut, Map map>
LOCKSTEP_INLINE void FromPicture(const TileJob& job, int64_t step, int64_t offset) {
  const Picture picture = job.picture;
  const int64_t point = job.point_stride;
  ForTiles(
      job, step, offset, kIn,
      [=](const Place& at, int64_t, const float* from, float* to) __attribute__((always_inline)) {
        if (at.inside) {
          Map2d<kIn, kOut, map>(from, picture.w * picture.block, picture.block, to, kOut * point,
                                point);
          return;
        }
        alignas(64) float square[kIn * kIn * kLanes];
        CopySquare<kIn>(picture, at, from, square);
        Map2d<kIn, kOut, map>(square, kIn * kLanes, kLanes, to, kOut * point, point);
      });
}

template <typename A>
void Input(const TileJob& job) {
  FromPicture<A::kInputs, A::kPoints, A::Input>(job, A::kOutputs, A::kOffset);
}

template <typename A>
void OutputGradient(const TileJob& job) {
  FromPicture<A::kOutputs, A::kPoints, A::OutputGradient>(job, A::kOutputs, 0);
}

template <typename A>
void Output(const TileJob& job) {
  constexpr int kIn = A::kPoints, kOut = A::kOutputs;
  const Picture picture = job.picture;
  const int64_t row = picture.w * picture.block, col = picture.block, point = job.point_stride;
  ForTiles(
      job, kOut, 0, kOut,
      [=](const Place& at, int64_t v, float* to, const float* from) __attribute__((always_inline)) {
        Epilogue finish = {Vec{}, job.relu};
        if (job.bias != nullptr) Load(job.bias + (job.first_vector + v) * kLanes, finish.bias);
        if (at.inside) {
          Map2d<kIn, kOut, A::Output>(from, kIn * point, point, to, row, col, finish);
          return;
        }
        alignas(64) float square[kOut * kOut * kLanes];
        Map2d<kIn, kOut, A::Output>(from, kIn * point, point, square, kOut * kLanes, kLanes,
                                    finish);
        for (int y = 0; y < kOut && at.y + y < picture.h; ++y) {
          for (int x = 0; x < kOut && at.x + x < picture.w; ++x) {
            Vec value;
            Load(square + (y * kOut + x) * kLanes, value);
            Store(value, to + y * row + x * col);
          }
        }
      });
}

constexpr int kTaps = 9;

// Nine vectors over outputs for each of 8 inputs: stage[(input * 9 + tap) * lanes + output].
LOCKSTEP_INLINE void StageWeights(const WeightJob& job, int64_t output, int64_t input,
                                  float* stage) {
  if (!job.swapped) {
    for (int half = 0; half < kLanes; half += 8) {
      const float* from = job.weights + ((output + half) * job.c + input) * kTaps;
      for (int i = 0; i < kTaps; ++i) {
        Transpose8(from + 8 * i, job.c * kTaps, stage + 8 * i * kLanes + half, kLanes);
      }
    }
    return;
  }
  for (int i = 0; i < 8; ++i) {  // the tap 8 - tap, by writing upwards from below
    float* to = stage + (i * kTaps + 8) * kLanes;
    for (int half = 0; half < kLanes; half += 8) {
      const float* from = job.weights + ((input + i) * job.c + output + half) * kTaps;
      Transpose8(from, kTaps, to + half, -kLanes);
      for (int j = 0; j < 8; ++j) to[half + j - 8 * kLanes] = from[j * kTaps + 8];
    }
  }
}

// Begins to fetch `floats` at base + offset to the second-level cache. They need not exist.
LOCKSTEP_INLINE void FetchLines(const float* base, int64_t offset, int64_t floats) {
  constexpr int64_t kLine = 16;  // floats
  const auto from =
      reinterpret_cast<uintptr_t>(base) + static_cast<uintptr_t>(offset) * sizeof *base;
  for (int64_t i = 0; i < floats + kLine - 1; i += kLine) {
    __builtin_prefetch(
        reinterpret_cast<const float*>(from + static_cast<uintptr_t>(i) * sizeof *base), 0, 2);
  }
}

// An eighth of what 8 inputs and a vector of outputs have in plain weights or their gradient: rows
// are pages apart, which hardware does not foresee.
LOCKSTEP_INLINE void FetchRows(const float* base, int64_t inputs, int64_t output, int64_t input,
                               int eighth) {
  for (int64_t row = output + eighth; row < output + kLanes; row += 8) {
    FetchLines(base, (row * inputs + input) * kTaps, 8 * kTaps);
  }
}

LOCKSTEP_INLINE void PrefetchWeights(const WeightJob& job, int64_t output, int64_t input,
                                     int eighth) {
  if (job.swapped) {
    const int64_t row = input + eighth;
    return FetchLines(job.weights, (row * job.c + output) * kTaps, kLanes * kTaps);
  }
  FetchRows(job.weights, job.c, output, input, eighth);
}

template <typename A>
void Weights(const WeightJob& job) {
  const int64_t width = job.width * kLanes;
  alignas(64) float stage[8 * kTaps * kLanes];
  for (int64_t i = 0; i < job.inputs; i += 8) {
    for (int64_t v = 0; v < job.width; ++v) {
      StageWeights(job, job.output + v * kLanes, job.input + i, stage);
      for (int j = 0; j < 8; ++j) {
        Map2d<3, A::kPoints, A::Weights>(stage + j * kTaps * kLanes, 3 * kLanes, kLanes,
                                         job.points + (i + j) * width + v * kLanes,
                                         A::kPoints * job.point_stride, job.point_stride);
        PrefetchWeights(job, job.output + v * kLanes, job.input + i + 8, j);
      }
    }
  }
}

template <typename A>
void WeightsGradient(const WeightJob& job) {
  const int64_t width = job.width * kLanes;
  alignas(64) float stage[8 * kTaps * kLanes];
  for (int64_t i = 0; i < job.inputs; i += 8) {
    for (int64_t v = 0; v < job.width; ++v) {
      for (int j = 0; j < 8; ++j) {
        Map2d<A::kPoints, 3, A::WeightsGradient>(job.points + (i + j) * width + v * kLanes,
                                                 A::kPoints * job.point_stride, job.point_stride,
                                                 stage + j * kTaps * kLanes, 3 * kLanes, kLanes);
        FetchRows(job.gradient, job.c, job.output + v * kLanes, job.input + i + 8, j);
      }
      for (int half = 0; half < kLanes; half += 8) {
        float* to =
            job.gradient + ((job.output + v * kLanes + half) * job.c + job.input + i) * kTaps;
        for (int j = 0; j < kTaps; ++j) {
          Transpose8(stage + 8 * j * kLanes + half, kLanes, to + 8 * j, job.c * kTaps);
        }
      }
    }
  }
}

template <typename A>
constexpr Transforms TransformsOf() {
  return {A::kPoints,        A::kOutputs, Input<A>,          Output<A>,
          OutputGradient<A>, Weights<A>,  WeightsGradient<A>};
}

}  // namespace
}  // namespace lockstep::cpu::LOCKSTEP_ISA

#endif  // LOCKSTEP_KERNELS_CPU_WINOGRAD_TRANSFORM_ISA_H_
