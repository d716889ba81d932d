// Batch normalisation, ReLU and max pooling by 2x2 in one walk. What is made of x rises or falls
// with it, by the sign of gamma, so that the largest of a window is known from x alone.
#include "kernels/cpu/isa/column_sums.h"
#include "kernels/cpu/isa/families.h"
#include "kernels/math/extremum.h"

namespace lockstep::cpu::LOCKSTEP_ISA {
namespace {

// body(offset of the window's first pixel, offset of its output) for windows [begin, end) of a run
// of a picture.
template <typename Body>
LOCKSTEP_FORMULA void ForWindowsOf(const PooledRows& g, int64_t sample, int64_t b, int64_t begin,
                                   int64_t end, const Body& body) {
  const int64_t x = g.x.base + sample * g.x.sample_stride + b * g.x.block_stride;
  const int64_t y = g.y.base + sample * g.y.sample_stride + b * g.y.block_stride;
  const int64_t stride = g.y.row_stride;
  int64_t row = begin / g.out_w;
  int64_t column = begin % g.out_w;
  for (int64_t i = begin; i < end; ++i) {
    body(x + (4 * row * g.out_w + 2 * column) * stride, y + i * stride);
    if (++column == g.out_w) {
      column = 0;
      ++row;
    }
  }
}

// body(run's first channel in the group, x, y) for windows [begin, end) of samples * blocks * rows.
template <typename Body>
LOCKSTEP_FORMULA void ForWindows(const PooledRows& g, int64_t begin, int64_t end,
                                 const Body& body) {
  while (begin < end) {
    const int64_t run = begin / g.y.rows;
    const int64_t first = begin % g.y.rows;
    const int64_t left = g.y.rows - first;
    const int64_t count = left < end - begin ? left : end - begin;
    const int64_t b = run % g.y.blocks;
    ForWindowsOf(g, run / g.y.blocks, b, first, first + count,
                 [&](int64_t x, int64_t y) { body(b * g.y.width, x, y); });
    begin += count;
  }
}

// body(V{}, j) over the channels of a run: whole vectors, then fours, then single elements.
template <typename T, typename Body>
LOCKSTEP_FORMULA void ForLanes(int64_t width, const Body& body) {
  int64_t j = 0;
  for (; j + kLanes<T> <= width; j += kLanes<T>) body(Vec<T>{}, j);
  if constexpr (kLanes < T >> 4) {
    for (; j + 4 <= width; j += 4) body(Four<T>{}, j);
  }
  for (; j < width; ++j) body(T{}, j);
}

// The pixels of a window, and the largest of sign * x.
template <typename V>
struct Quad {
  V x[4], key[4], top;
  template <typename T>
  LOCKSTEP_FORMULA Quad(const T* from, int64_t right, int64_t down, V sign) {
    x[0] = Load<V>(from);
    x[1] = Load<V>(from + right);
    x[2] = Load<V>(from + down);
    x[3] = Load<V>(from + down + right);
    for (int k = 0; k < 4; ++k) key[k] = sign * x[k];
    top = math::Larger(math::Larger(key[0], key[1]), math::Larger(key[2], key[3]));
  }
  // x of the first that is the largest.
  LOCKSTEP_FORMULA V First() const {
    V first = x[3];
    for (int k = 2; k >= 0; --k) first = key[k] == top ? x[k] : first;
    return first;
  }
};

template <typename T>
void Normalize(const PooledRows& g, int64_t begin, int64_t end, const NormalizeArgs<T>& args,
               const T* sign, const T* x, T* y) {
  const int64_t right = g.x.row_stride;
  const int64_t down = 2 * g.out_w * right;
  ForWindows(g, begin, end, [&](int64_t channel, int64_t from, int64_t to) {
    ForLanes<T>(g.y.width, [&](auto zero, int64_t j) {
      using V = decltype(zero);
      const int64_t c = channel + j;
      const V way = Load<V>(sign + c);
      const Quad<V> quad(x + from + j, right, down, way);
      V v = (way * quad.top - Load<V>(args.high + c)) * Load<V>(args.factor + c) +
            Load<V>(args.offset + c);
      v = v < V{} ? V{} : v;
      Store(y + to + j, v);
    });
  });
}

template <typename T>
struct SumTerm {
  const T* x;
  const T* y;
  const T* dy;
  const T* high;
  const T* sign;
  int64_t right, down;
  template <typename V>
  LOCKSTEP_FORMULA void operator()(int64_t from, int64_t to, int64_t j, V* dz, V* dz_x) const {
    const V gradient = Load<V>(y + to + j) == V{} ? V{} : Load<V>(dy + to + j);
    const Quad<V> quad(x + from + j, right, down, Load<V>(sign + j));
    *dz = gradient;
    *dz_x = gradient * (quad.First() - Load<V>(high + j));
  }
};

// Windows whose sums are taken before they go to double: bounds the rounding error of T.
constexpr int64_t kWindows = kFlushRows;

template <int kVectors, typename V, typename T>
LOCKSTEP_FORMULA void SumWindows(const int64_t* from, const int64_t* to, int64_t count, int64_t j,
                                 const SumTerm<T>& term, double* sum_dz, double* sum_dz_x) {
  constexpr int64_t kLane = sizeof(V) / sizeof(T);
  V a[kVectors] = {};
  V b[kVectors] = {};
  for (int64_t i = 0; i < count; ++i) {
    for (int v = 0; v < kVectors; ++v) {
      V dz, dz_x;
      term.template operator()<V>(from[i], to[i], j + v * kLane, &dz, &dz_x);
      a[v] += dz;
      b[v] += dz_x;
    }
  }
  AddToSums<kVectors, V, T>(a, j, sum_dz);
  AddToSums<kVectors, V, T>(b, j, sum_dz_x);
}

template <typename T>
void GradientSums(const PooledRows& g, int64_t b, int64_t begin, int64_t end,
                  const GradientArgs<T>& args, const T* sign, const T* x, const T* y, const T* dy,
                  double* sum_dz, double* sum_dz_x) {
  const int64_t width = g.y.width;
  const int64_t right = g.x.row_stride;
  const SumTerm<T> term{
      x, y, dy, args.high + b * width, sign + b * width, right, 2 * g.out_w * right};
  for (int64_t j = 0; j < width; ++j) sum_dz[j] = sum_dz_x[j] = 0;
  int64_t from[kWindows];
  int64_t to[kWindows];
  while (begin < end) {
    int64_t count = 0;
    while (count < kWindows && begin < end) {
      const int64_t first = begin % g.y.rows;
      int64_t more = g.y.rows - first;
      more = more < end - begin ? more : end - begin;
      more = more < kWindows - count ? more : kWindows - count;
      ForWindowsOf(g, begin / g.y.rows, b, first, first + more, [&](int64_t in, int64_t out) {
        from[count] = in;
        to[count++] = out;
      });
      begin += more;
    }
    int64_t j = 0;
    for (; j + 2 * kLanes<T> <= width; j += 2 * kLanes<T>) {
      SumWindows<2, Vec<T>, T>(from, to, count, j, term, sum_dz, sum_dz_x);
    }
    for (; j + kLanes<T> <= width; j += kLanes<T>) {
      SumWindows<1, Vec<T>, T>(from, to, count, j, term, sum_dz, sum_dz_x);
    }
    if constexpr (kLanes < T >> 4) {
      for (; j + 4 <= width; j += 4) {
        SumWindows<1, Four<T>, T>(from, to, count, j, term, sum_dz, sum_dz_x);
      }
    }
    for (; j < width; ++j) SumWindows<1, T, T>(from, to, count, j, term, sum_dz, sum_dz_x);
  }
}

template <typename T>
void GradientApply(const PooledRows& g, int64_t begin, int64_t end, const GradientArgs<T>& args,
                   const T* sign, const T* x, const T* y, const T* dy, T* dx) {
  const int64_t right = g.x.row_stride;
  const int64_t down = 2 * g.out_w * right;
  ForWindows(g, begin, end, [&](int64_t channel, int64_t from, int64_t to) {
    ForLanes<T>(g.y.width, [&](auto zero, int64_t j) {
      using V = decltype(zero);
      const int64_t c = channel + j;
      const Quad<V> quad(x + from + j, right, down, Load<V>(sign + c));
      const V high = Load<V>(args.high + c), dz_factor = Load<V>(args.dz_factor + c);
      const V offset = Load<V>(args.offset + c), x_factor = Load<V>(args.x_factor + c);
      V left = Load<V>(y + to + j) == V{} ? V{} : Load<V>(dy + to + j);
      const int64_t at[4] = {0, right, down, down + right};
      for (int k = 0; k < 4; ++k) {
        const V dz = quad.key[k] == quad.top ? left : V{};
        left = quad.key[k] == quad.top ? V{} : left;
        Store(dx + from + j + at[k], dz * dz_factor - offset - (quad.x[k] - high) * x_factor);
      }
    });
  });
}

}  // namespace

void GetPooledNorm(PooledNormLoops<float>* f32, PooledNormLoops<double>* f64) {
  *f32 = {Normalize<float>, GradientSums<float>, GradientApply<float>};
  *f64 = {Normalize<double>, GradientSums<double>, GradientApply<double>};
}

}  // namespace lockstep::cpu::LOCKSTEP_ISA
