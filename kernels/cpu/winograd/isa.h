// What the files compiled once per instruction set offer to the drivers in this folder.
//
// One dimension of a bilinear algorithm with P points is y = At [(G w) o (Bt x)] (o: elementwise);
// in two dimensions every transform is applied to the columns and then to the rows. The products
// over channels become P * P matrix products:
//   V[p][c][t] = Bt x,  U[p][c][k] = G w,  M[p][k][t] = sum_c V U,  y = At M     (forward)
//   N[p][k][t] = A dy,  D[p][c][k] = sum_t V N,  dw = Gt D                       (weights'
//   gradient)
// for tiles t = (image * rows + row) * cols + col. V, M and N lie in memory as [p][channels /
// lanes] [t][lanes]; U and D as [p][panel][c][panel width], a panel being one to three vectors of
// k. The last vector of channels may be filled in part.
#ifndef LOCKSTEP_KERNELS_CPU_WINOGRAD_ISA_H_
#define LOCKSTEP_KERNELS_CPU_WINOGRAD_ISA_H_

#include <cstdint>

namespace lockstep::cpu::winograd {

// A picture in memory; strides in floats.
struct Picture {
  float* data;
  int64_t h, w;
  int64_t block;         // channels side by side; also the stride of a pixel
  int64_t block_stride;  // h * w * block
  int64_t image_stride;  // c * h * w
};

// The tiles [first, first + count) of a picture's grid and the vectors of channels
// [first_vector, first_vector + vectors), to or from planes at `planes` whose first element
// belongs to tile `first` and vector `first_vector`.
struct TileJob {
  Picture picture;
  int64_t channels;      // of the picture
  int64_t pad_h, pad_w;  // by which the squares begin before their tiles; Input only
  int64_t rows, cols;
  int64_t first, count;
  int64_t first_vector, vectors;
  float* planes;
  int64_t point_stride, group_stride, vector_stride;
  const float* bias;  // (k,) or null; Output only
  bool relu;          // Output only
};

// Plain weights (k, c, taps, taps) against one panel of `width` vectors of outputs from `output`
// and the inputs [input, input + inputs). `swapped`: outputs are c, inputs are k and the taps are
// turned by 180 degrees (the gradient of the data). The weights of outputs that do not exist are
// zeros; WeightsGradient, which reads inputs in eights, writes only what exists.
struct WeightJob {
  const float* weights;  // Weights only
  float* gradient;       // WeightsGradient only
  int64_t c;
  bool swapped;
  int64_t outputs;  // that exist
  int64_t output, width, input, inputs;
  float* points;  // U or D of this panel from `input` on
  int64_t point_stride;
};

// m (+)= v u for one point: rows are `count` tiles, columns one panel, summed over `channels`.
struct ProductJob {
  const float* v;
  int64_t v_group_stride, channels, count;
  const float* u;
  float* m;
  int64_t m_group_stride;
  bool accumulate;
};

// d (+)= v^T n for one point: rows are `channels` of c, in eights, columns one panel of k, summed
// over `count` tiles. d has row stride width * lanes.
struct GradientJob {
  const float* v;
  int64_t v_vector_stride, channels, count;
  const float* n;
  int64_t n_vector_stride;
  float* d;
  bool accumulate;
};

enum class Algorithm { kF4, kF2, kToeplitz2, kF2Of5, kF4Of5 };

struct Transforms {
  int points;  // P
  int tile;    // outputs of a tile, each way
  int taps;    // of the filter, each way
  void (*input)(const TileJob&);
  void (*output)(const TileJob&);
  void (*weights)(const WeightJob&);
  void (*output_gradient)(const TileJob&);
  void (*weights_gradient)(const WeightJob&);
};

constexpr int kMaxPanel = 3;

struct IsaKernels {
  const char* name;
  int lanes, group;                                 // floats of a vector
  Transforms transforms[5];                         // by Algorithm
  void (*product[kMaxPanel])(const ProductJob&);    // by panel width - 1
  void (*gradient[kMaxPanel])(const GradientJob&);  // by panel width - 1
};

}  // namespace lockstep::cpu::winograd

namespace lockstep::cpu::baseline {
extern const winograd::IsaKernels kWinograd;
}
namespace lockstep::cpu::avx2 {
extern const winograd::IsaKernels kWinograd;
}
namespace lockstep::cpu::avx512 {
extern const winograd::IsaKernels kWinograd;
}

#endif  // LOCKSTEP_KERNELS_CPU_WINOGRAD_ISA_H_
