// The inner loops that are compiled once per instruction set, as tables of function pointers. No
// function here allocates, throws or starts threads; ranges are parts of the whole work.
#ifndef LOCKSTEP_KERNELS_CPU_ISA_LOOPS_H_
#define LOCKSTEP_KERNELS_CPU_ISA_LOOPS_H_

#include <cstdint>

#include "kernels/cpu/isa/channel_rows.h"
#include "kernels/elementwise.h"
#include "kernels/optimizer.h"
#include "kernels/pool.h"

namespace lockstep::cpu {

// One copy of channels between pictures, as ElementwiseKernels::CopyChannels.
struct ChannelCopy {
  int64_t channels, pixels;
  int64_t x_channels, x_block, x_offset;
  int64_t y_channels, y_block, y_offset;
};

template <typename T>
struct ElementwiseLoops {
  void (*activation_forward)(Activation f, T slope, int64_t size, const T* x, T* y);
  void (*activation_backward)(Activation f, T slope, int64_t size, const T* y, const T* dy, T* dx);
  void (*add)(int64_t size, const T* a, const T* b, T* y);
  void (*scale)(T scale, int64_t size, const T* x, T* y);
  // Pixels [begin, end) of samples * pixels.
  void (*copy_channels)(const ChannelCopy& copy, int64_t begin, int64_t end, const T* x, T* y);
};

// Per-channel numbers of a group, rounded to T once. "high" is the mean rounded to T; what the
// rounding lost is inside the other constants.
template <typename T>
struct NormalizeArgs {
  const T* high;
  const T* factor;  // y = (x - high) * factor + offset
  const T* offset;
  bool relu;
  DropoutDraw dropout;
};

template <typename T>
struct GradientArgs {
  const T* high;
  bool fused;  // dz = y == 0 ? 0 : dy * keep_scale; otherwise dz = dy
  T keep_scale;
  // dx = dz_factor * dz - offset - x_factor * (x - high); unused by gradient_sums.
  const T* dz_factor;
  const T* offset;
  const T* x_factor;
};

// Sums run over positions [begin, end) of samples * rows of run b and are written for its `width`
// channels; applications run over positions of samples * blocks * rows.
template <typename T>
struct NormLoops {
  void (*moments)(const ChannelRows& g, int64_t b, int64_t begin, int64_t end, const T* x,
                  double* mean, double* m2);
  void (*normalize)(const ChannelRows& g, int64_t begin, int64_t end, const NormalizeArgs<T>& args,
                    const T* x, T* y);
  // sums of dz and of dz * (x - high).
  void (*gradient_sums)(const ChannelRows& g, int64_t b, int64_t begin, int64_t end,
                        const GradientArgs<T>& args, const T* x, const T* y, const T* dy,
                        double* sum_dz, double* sum_dz_x);
  void (*gradient_apply)(const ChannelRows& g, int64_t begin, int64_t end,
                         const GradientArgs<T>& args, const T* x, const T* y, const T* dy, T* dx);
};

// The same with ReLU and max pooling by 2x2 behind it; positions are those of g.y. `sign` is 1, -1
// or 0 a channel: whether what is made of x rises or falls with it.
template <typename T>
struct PooledNormLoops {
  void (*normalize)(const PooledRows& g, int64_t begin, int64_t end, const NormalizeArgs<T>& args,
                    const T* sign, const T* x, T* y);
  void (*gradient_sums)(const PooledRows& g, int64_t b, int64_t begin, int64_t end,
                        const GradientArgs<T>& args, const T* sign, const T* x, const T* y,
                        const T* dy, double* sum_dz, double* sum_dz_x);
  void (*gradient_apply)(const PooledRows& g, int64_t begin, int64_t end,
                         const GradientArgs<T>& args, const T* sign, const T* x, const T* y,
                         const T* dy, T* dx);
};

template <typename T>
struct ReduceLoops {
  double (*sum_of_squares)(int64_t size, const T* x);
  void (*channel_sums)(const ChannelRows& g, int64_t b, int64_t begin, int64_t end, const T* x,
                       double* sums);
  int64_t (*first_non_finite)(int64_t size, const T* x);  // -1: none
  double (*largest_magnitude)(int64_t size, const T* x);
  void (*to_fixed_point)(int64_t size, const T* x, double scale, bool accumulate, int64_t* sums);
  void (*from_fixed_point)(int64_t size, const int64_t* sums, double scale, T* y);
};

// Planes [begin, end) of n * (c / block).
template <typename T>
struct PoolLoops {
  void (*forward)(const PoolShape& shape, int64_t begin, int64_t end, const T* x, T* y);
  void (*backward)(const PoolShape& shape, int64_t begin, int64_t end, const T* x, const T* y,
                   const T* dy, T* dx);
};

struct CrossEntropySums {
  double loss;
  int64_t correct;
};

template <typename T>
struct SoftmaxLoops {
  void (*forward)(int64_t rows, int64_t classes, const T* x, T* y);
  void (*backward)(int64_t rows, int64_t classes, const T* y, const T* dy, T* dx);
  // Labels are -1 .. classes - 1. dx may be null.
  CrossEntropySums (*cross_entropy)(int64_t rows, int64_t classes, const T* x,
                                    const int32_t* labels, T* dx);
  double (*squared_error)(int64_t size, const T* x, const T* target, T* dx);
};

template <typename T>
struct RandomLoops {
  // Positions [begin, end) of samples * blocks * rows.
  void (*dropout)(const ChannelRows& g, int64_t begin, int64_t end, const DropoutDraw& draw,
                  const T* x, T* y);
  // Elements [4 * begin, 4 * end) cut at `size`; x is element 0.
  void (*fill_normal)(uint64_t key, T mean, T stddev, int64_t begin, int64_t end, int64_t size,
                      T* x);
  // low + width * u, at most `last`.
  void (*fill_uniform)(uint64_t key, T low, T width, T last, int64_t begin, int64_t end,
                       int64_t size, T* x);
};

// Rows of an update, `stride` elements apart.
struct UpdateBlock {
  int64_t rows, columns, stride;
};

// The bits of an element depend on nothing but its own numbers.
template <typename T>
struct OptimizerLoops {
  void (*update)(const UpdateArgs& args, const UpdateNumbers& numbers, const UpdateBlock& block,
                 T* p, const T* g, T* s0, T* s1);
};

// To and from math::Half and math::Bfloat16; float32 rounds to nearest, ties to even.
struct CastLoops {
  void (*widen_half)(int64_t size, const uint16_t* x, float* y);
  void (*narrow_half)(int64_t size, const float* x, uint16_t* y);
  void (*widen_bfloat16)(int64_t size, const uint16_t* x, float* y);
  void (*narrow_bfloat16)(int64_t size, const float* x, uint16_t* y);
};

template <typename T>
struct Loops {
  ElementwiseLoops<T> elementwise;
  NormLoops<T> norm;
  OptimizerLoops<T> optimizer;
  PoolLoops<T> pool;
  PooledNormLoops<T> pooled_norm;
  RandomLoops<T> random;
  ReduceLoops<T> reduce;
  SoftmaxLoops<T> softmax;
};

struct IsaTable {
  const char* name;
  Loops<float> f32;
  Loops<double> f64;
  CastLoops cast;
};

}  // namespace lockstep::cpu

#endif  // LOCKSTEP_KERNELS_CPU_ISA_LOOPS_H_
