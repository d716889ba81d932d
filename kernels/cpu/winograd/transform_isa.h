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

struct Offset {
  int64_t h, w;
};

// Tile t's square of `size` pixels, which starts `before` the tile's own pixels.
LOCKSTEP_INLINE Place Locate(const TileJob& job, int64_t t, int64_t step, Offset before,
                             int64_t size) {
  const int64_t row = t / job.cols, image = row / job.rows;
  const int64_t y = (row - image * job.rows) * step - before.h,
                x = (t - row * job.cols) * step - before.w;
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
LOCKSTEP_INLINE void ForTiles(const TileJob& job, int64_t step, Offset before, int64_t size,
                              const Body& body) {
  const int64_t row = job.picture.w * job.picture.block, col = job.picture.block;
  for (int64_t g = 0; g < job.count; g += kGroup) {
    const int64_t tiles = job.count - g < kGroup ? job.count - g : kGroup;
    float* planes = job.planes + g / kGroup * job.group_stride;
    Place places[kGroup];
    for (int64_t i = 0; i < tiles; ++i) {
      places[i] = Locate(job, job.first + g + i, step, before, size);
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

// How a vector of channels is read and written.
struct AllLanes {
  LOCKSTEP_INLINE void Get(const float* from, Vec& v) const { Load(from, v); }
  LOCKSTEP_INLINE void Put(const Vec& v, float* to) const { Store(v, to); }
};
struct SomeLanes {
  int64_t count;
  LOCKSTEP_INLINE void Get(const float* from, Vec& v) const { LoadSome(from, count, v); }
  LOCKSTEP_INLINE void Put(const Vec& v, float* to) const { StoreSome(v, count, to); }
};

// Those of a job's vector that exist.
LOCKSTEP_INLINE int64_t LanesOf(const TileJob& job, int64_t vector) {
  const int64_t left = job.channels - (job.first_vector + vector) * kLanes;
  return left < kLanes ? left : kLanes;
}

// Copies a square that is not wholly inside the picture, zeros outside, to rows of kSize pixels.
template <int kSize, typename Lanes>
LOCKSTEP_INLINE void CopySquare(const Picture& picture, const Place& at, const float* from,
                                Lanes lanes, float* square) {
  const int64_t row = picture.w * picture.block, col = picture.block;
  for (int y = 0; y < kSize; ++y) {
    const bool row_inside = at.y + y >= 0 && at.y + y < picture.h;
    for (int x = 0; x < kSize; ++x) {
      Vec value = {};
      if (row_inside && at.x + x >= 0 && at.x + x < picture.w) {
        lanes.Get(from + y * row + x * col, value);
      }
      Store(value, square + (y * kSize + x) * kLanes);
    }
  }
}

// Planes from squares of kIn pixels that start `before` their tiles of `step` pixels.
template <int kIn, int kOut, Map map>
LOCKSTEP_INLINE void FromPicture(const TileJob& job, int64_t step, Offset before) {
  const Picture picture = job.picture;
  const int64_t point = job.point_stride;
  ForTiles(
      job, step, before, kIn,
      [=](const Place& at, int64_t v, const float* from, float* to) __attribute__((always_inline)) {
        const int64_t lanes = LanesOf(job, v);
        if (at.inside && lanes == kLanes) {
          Map2d<kIn, kOut, map>(from, picture.w * picture.block, picture.block, to, kOut * point,
                                point);
          return;
        }
        alignas(64) float square[kIn * kIn * kLanes];
        if (lanes == kLanes) {
          CopySquare<kIn>(picture, at, from, AllLanes{}, square);
        } else {
          CopySquare<kIn>(picture, at, from, SomeLanes{lanes}, square);
        }
        Map2d<kIn, kOut, map>(square, kIn * kLanes, kLanes, to, kOut * point, point);
      });
}

template <typename A>
void Input(const TileJob& job) {
  // A square may be smaller than what its tile's taps reach: it is then what lies in the picture.
  constexpr int64_t kUnread = (A::kOutputs + A::kTaps - 1 - A::kInputs) / 2;
  FromPicture<A::kInputs, A::kPoints, A::Input>(job, A::kOutputs,
                                                {job.pad_h - kUnread, job.pad_w - kUnread});
}

template <typename A>
void OutputGradient(const TileJob& job) {
  FromPicture<A::kOutputs, A::kPoints, A::OutputGradient>(job, A::kOutputs, {});
}

template <typename A>
void Output(const TileJob& job) {
  constexpr int kIn = A::kPoints, kOut = A::kOutputs;
  const Picture picture = job.picture;
  const int64_t row = picture.w * picture.block, col = picture.block, point = job.point_stride;
  ForTiles(
      job, kOut, {}, kOut,
      [=](const Place& at, int64_t v, float* to, const float* from) __attribute__((always_inline)) {
        const SomeLanes lanes{LanesOf(job, v)};
        Epilogue finish = {Vec{}, job.relu};
        if (job.bias != nullptr) lanes.Get(job.bias + (job.first_vector + v) * kLanes, finish.bias);
        if (at.inside && lanes.count == kLanes) {
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
            lanes.Put(value, to + y * row + x * col);
          }
        }
      });
}

// A vector over outputs for each tap of each of 8 inputs, of which `inputs` exist:
// stage[(input * kTaps + tap) * lanes + output].
template <int kTaps>
LOCKSTEP_INLINE void StageSomeWeights(const WeightJob& job, int64_t output, int64_t input,
                                      int64_t inputs, float* stage) {
  for (int64_t i = 0; i < inputs; ++i) {
    for (int64_t tap = 0; tap < kTaps; ++tap) {
      for (int64_t lane = 0; lane < kLanes; ++lane) {
        const int64_t out = output + lane, in = input + i;
        const int64_t filter = job.swapped ? in * job.c + out : out * job.c + in;
        const int64_t at = filter * kTaps + (job.swapped ? kTaps - 1 - tap : tap);
        stage[(i * kTaps + tap) * kLanes + lane] = out < job.outputs ? job.weights[at] : 0.0F;
      }
    }
  }
}

// The same, eight by eight.
template <int kTaps>
LOCKSTEP_INLINE void StageWeights(const WeightJob& job, int64_t output, int64_t input,
                                  int64_t inputs, float* stage) {
  if (inputs < 8 || output + kLanes > job.outputs) {
    return StageSomeWeights<kTaps>(job, output, input, inputs, stage);
  }
  if (!job.swapped) {
    for (int half = 0; half < kLanes; half += 8) {
      const float* from = job.weights + ((output + half) * job.c + input) * kTaps;
      for (int i = 0; i < kTaps; ++i) {
        Transpose8(from + 8 * i, job.c * kTaps, stage + 8 * i * kLanes + half, kLanes);
      }
    }
    return;
  }
  for (int i = 0; i < 8; ++i) {  // the tap kTaps - 1 - tap, by writing upwards from below
    float* to = stage + (i * kTaps + kTaps - 1) * kLanes;
    for (int half = 0; half < kLanes; half += 8) {
      const float* from = job.weights + ((input + i) * job.c + output + half) * kTaps;
      for (int tap = 0; tap + 8 <= kTaps; tap += 8) {
        Transpose8(from + tap, kTaps, to + half - tap * kLanes, -kLanes);
      }
      for (int j = 0; j < 8; ++j) {
        to[half + j - (kTaps - 1) * kLanes] = from[j * kTaps + kTaps - 1];
      }
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
template <int kTaps>
LOCKSTEP_INLINE void FetchRows(const float* base, int64_t inputs, int64_t output, int64_t input,
                               int eighth) {
  for (int64_t row = output + eighth; row < output + kLanes; row += 8) {
    FetchLines(base, (row * inputs + input) * kTaps, 8 * kTaps);
  }
}

template <int kTaps>
LOCKSTEP_INLINE void PrefetchWeights(const WeightJob& job, int64_t output, int64_t input,
                                     int eighth) {
  if (job.swapped) {
    const int64_t row = input + eighth;
    return FetchLines(job.weights, (row * job.c + output) * kTaps, kLanes * kTaps);
  }
  FetchRows<kTaps>(job.weights, job.c, output, input, eighth);
}

template <typename A>
void Weights(const WeightJob& job) {
  constexpr int kTaps = A::kTaps * A::kTaps;
  static_assert(kTaps % 8 == 1);  // StageWeights
  const int64_t width = job.width * kLanes;
  alignas(64) float stage[8 * kTaps * kLanes];
  for (int64_t i = 0; i < job.inputs; i += 8) {
    const int64_t inputs = job.inputs - i < 8 ? job.inputs - i : 8;
    for (int64_t v = 0; v < job.width; ++v) {
      StageWeights<kTaps>(job, job.output + v * kLanes, job.input + i, inputs, stage);
      for (int j = 0; j < inputs; ++j) {
        Map2d<A::kTaps, A::kPoints, A::Weights>(stage + j * kTaps * kLanes, A::kTaps * kLanes,
                                                kLanes, job.points + (i + j) * width + v * kLanes,
                                                A::kPoints * job.point_stride, job.point_stride);
        PrefetchWeights<kTaps>(job, job.output + v * kLanes, job.input + i + 8, j);
      }
    }
  }
}

// From a stage like StageWeights' to the gradient of what exists.
template <int kTaps>
LOCKSTEP_INLINE void PutSomeGradients(const float* stage, const WeightJob& job, int64_t output,
                                      int64_t input, int64_t inputs) {
  for (int64_t lane = 0; lane < kLanes && output + lane < job.outputs; ++lane) {
    float* to = job.gradient + ((output + lane) * job.c + input) * kTaps;
    for (int64_t i = 0; i < inputs * kTaps; ++i) to[i] = stage[i * kLanes + lane];
  }
}

template <int kTaps>
LOCKSTEP_INLINE void PutGradients(const float* stage, const WeightJob& job, int64_t output,
                                  int64_t input, int64_t inputs) {
  if (inputs < 8 || output + kLanes > job.outputs) {
    return PutSomeGradients<kTaps>(stage, job, output, input, inputs);
  }
  for (int half = 0; half < kLanes; half += 8) {
    float* to = job.gradient + ((output + half) * job.c + input) * kTaps;
    for (int j = 0; j < kTaps; ++j) {
      Transpose8(stage + 8 * j * kLanes + half, kLanes, to + 8 * j, job.c * kTaps);
    }
  }
}

template <typename A>
void WeightsGradient(const WeightJob& job) {
  constexpr int kTaps = A::kTaps * A::kTaps;
  const int64_t width = job.width * kLanes;
  alignas(64) float stage[8 * kTaps * kLanes];
  for (int64_t i = 0; i < job.inputs; i += 8) {
    const int64_t inputs = job.inputs - i < 8 ? job.inputs - i : 8;
    for (int64_t v = 0; v < job.width; ++v) {
      for (int j = 0; j < 8; ++j) {
        Map2d<A::kPoints, A::kTaps, A::WeightsGradient>(
            job.points + (i + j) * width + v * kLanes, A::kPoints * job.point_stride,
            job.point_stride, stage + j * kTaps * kLanes, A::kTaps * kLanes, kLanes);
        FetchRows<kTaps>(job.gradient, job.c, job.output + v * kLanes, job.input + i + 8, j);
      }
      PutGradients<kTaps>(stage, job, job.output + v * kLanes, job.input + i, inputs);
    }
  }
}

template <typename A>
constexpr Transforms TransformsOf() {
  return {A::kPoints, A::kOutputs, A::kTaps,          Input<A>,
          Output<A>,  Weights<A>,  OutputGradient<A>, WeightsGradient<A>};
}

}  // namespace
}  // namespace lockstep::cpu::LOCKSTEP_ISA

#endif  // LOCKSTEP_KERNELS_CPU_WINOGRAD_TRANSFORM_ISA_H_
