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

// to (Rows out x out) = map applied to the columns, then the rows, of an `in` x `in` square.
// The square is read at `from` with the two strides; result (i, j) goes to `to` likewise.
template <int kIn, int kOut, Map map>
LOCKSTEP_INLINE void Map2d(const float* from, int64_t row, int64_t col, float* to, int64_t to_row,
                           int64_t to_col) {
  Vec half[kOut][kIn];
#pragma GCC unroll 8
  for (int j = 0; j < kIn; ++j) {
    Vec x[kIn], v[kOut];
#pragma GCC unroll 8
    for (int i = 0; i < kIn; ++i) Load(from + i * row + j * col, x[i]);
    map(x, v);
#pragma GCC unroll 8
    for (int i = 0; i < kOut; ++i) half[i][j] = v[i];
  }
#pragma GCC unroll 8
  for (int i = 0; i < kOut; ++i) {
    Vec v[kOut];
    map(half[i], v);
#pragma GCC unroll 8
    for (int j = 0; j < kOut; ++j) Store(v[j], to + i * to_row + j * to_col);
  }
}

// Where a tile lies: its image's first float and the row and column of its first pixel.
struct Place {
  float* image;
  int64_t y, x;
};

LOCKSTEP_INLINE Place Locate(const TileJob& job, int64_t t, int64_t step, int64_t offset) {
  const int64_t row = t / job.cols, image = row / job.rows;
  return {job.picture.data + image * job.picture.image_stride,
          (row - image * job.rows) * step + offset, (t - row * job.cols) * step + offset};
}

LOCKSTEP_INLINE int64_t VectorOffset(const Picture& picture, int64_t vector) {
  const int64_t channel = vector * kLanes, block = channel / picture.block;
  return block * picture.block_stride + (channel - block * picture.block);
}

// Reads squares of kIn pixels that start at tile * step + offset, zeros outside the picture.
template <int kIn, int kOut, Map map>
void FromPicture(const TileJob& job, int64_t step, int64_t offset) {
  const Picture& picture = job.picture;
  const int64_t row = picture.w * picture.block, col = picture.block;
  for (int64_t g = 0; g < job.count; g += kGroup) {
    const int64_t tiles = job.count - g < kGroup ? job.count - g : kGroup;
    float* planes = job.planes + g / kGroup * job.group_stride;
    Place places[kGroup];
    for (int64_t i = 0; i < tiles; ++i) places[i] = Locate(job, job.first + g + i, step, offset);
    for (int64_t v = 0; v < job.vectors; ++v) {
      const int64_t channel = VectorOffset(picture, job.first_vector + v);
      for (int64_t i = 0; i < tiles; ++i) {
        const Place& at = places[i];
        const float* from = at.image + channel + at.y * row + at.x * col;
        float* to = planes + v * job.vector_stride + i * kLanes;
        const bool inside =
            at.y >= 0 && at.x >= 0 && at.y + kIn <= picture.h && at.x + kIn <= picture.w;
        if (inside) {
          Map2d<kIn, kOut, map>(from, row, col, to, kOut * job.point_stride, job.point_stride);
          continue;
        }
        alignas(64) float square[kIn * kIn * kLanes];
        for (int y = 0; y < kIn; ++y) {
          for (int x = 0; x < kIn; ++x) {
            Vec value = {};
            if (at.y + y >= 0 && at.y + y < picture.h && at.x + x >= 0 && at.x + x < picture.w) {
              Load(from + y * row + x * col, value);
            }
            Store(value, square + (y * kIn + x) * kLanes);
          }
        }
        Map2d<kIn, kOut, map>(square, kIn * kLanes, kLanes, to, kOut * job.point_stride,
                              job.point_stride);
      }
    }
  }
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
  const Picture& picture = job.picture;
  const int64_t row = picture.w * picture.block, col = picture.block;
  for (int64_t g = 0; g < job.count; g += kGroup) {
    const int64_t tiles = job.count - g < kGroup ? job.count - g : kGroup;
    float* planes = job.planes + g / kGroup * job.group_stride;
    Place places[kGroup];
    for (int64_t i = 0; i < tiles; ++i) places[i] = Locate(job, job.first + g + i, kOut, 0);
    for (int64_t v = 0; v < job.vectors; ++v) {
      const int64_t channel = VectorOffset(picture, job.first_vector + v);
      Vec bias = {};
      if (job.bias != nullptr) Load(job.bias + (job.first_vector + v) * kLanes, bias);
      for (int64_t i = 0; i < tiles; ++i) {
        const float* from = planes + v * job.vector_stride + i * kLanes;
        alignas(64) float square[kOut * kOut * kLanes];
        Map2d<kIn, kOut, A::Output>(from, kIn * job.point_stride, job.point_stride, square,
                                    kOut * kLanes, kLanes);
        float* to = places[i].image + channel + places[i].y * row + places[i].x * col;
        for (int y = 0; y < kOut; ++y) {
          if (places[i].y + y >= picture.h) break;
          for (int x = 0; x < kOut; ++x) {
            if (places[i].x + x >= picture.w) break;
            Vec value;
            Load(square + (y * kOut + x) * kLanes, value);
            value += bias;
            if (job.relu) value = value > 0.0F ? value : Vec{};
            Store(value, to + y * row + x * col);
          }
        }
      }
    }
  }
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
