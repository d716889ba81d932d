// Batch normalisation over the rows of a channel group. Means are split in two parts: `high`, the
// mean rounded to T, which is subtracted from x exactly or nearly so, and the rest, which is folded
// into constants that are computed in double.
#include "kernels/cpu/isa/column_sums.h"
#include "kernels/cpu/isa/dropout_vec.h"
#include "kernels/cpu/isa/families.h"
#include "kernels/cpu/isa/segments.h"

namespace lockstep::cpu::LOCKSTEP_ISA {
namespace {

template <typename T>
struct MomentTerm {
  const T* x;
  const T* shift;
  template <typename V>
  LOCKSTEP_FORMULA void operator()(int64_t offset, int64_t j, V* a, V* b) const {
    const V d = Load<V>(x + offset) - Load<V>(shift + j);
    *a = d;
    *b = d * d;
  }
};

// A value near the mean of each channel: the mean of the first rows.
template <typename T>
void ChooseShift(const T* x, int64_t rows, int64_t row_stride, int64_t width, T* shift) {
  const int64_t count = rows < 8 ? rows : 8;
  for (int64_t j = 0; j < width; ++j) shift[j] = x[j] / static_cast<T>(count);
  for (int64_t i = 1; i < count; ++i) {
    for (int64_t j = 0; j < width; ++j) shift[j] += x[i * row_stride + j] / static_cast<T>(count);
  }
}

template <typename T>
void Moments(const ChannelRows& g, int64_t b, int64_t begin, int64_t end, const T* x, double* mean,
             double* m2) {
  alignas(64) T shift[kPattern];
  for (int64_t j = 0; j < g.width; ++j) mean[j] = m2[j] = 0;
  bool first = true;
  ForSegmentsOfRun(g, b, begin, end, [&](int64_t offset, int64_t rows) {
    if (first) {
      ChooseShift(x + offset, rows, g.row_stride, g.width, shift);
      RepeatPattern(g.width, shift);
      first = false;
    }
    SumColumns<T>(offset, rows, g.row_stride, g.width, MomentTerm<T>{x, shift}, mean, m2);
  });
  const double count = static_cast<double>(end - begin);
  for (int64_t j = 0; j < g.width; ++j) {
    const double d = mean[j] / count;
    const double rest = m2[j] - d * mean[j];
    m2[j] = rest < 0 ? 0 : rest;  // a NaN passes
    mean[j] = static_cast<double>(shift[j]) + d;
  }
}

template <typename T>
struct GradientTerm {
  const T* x;
  const T* y;
  const T* dy;
  const T* high;
  T keep_scale;
  bool fused;
  template <typename V>
  LOCKSTEP_FORMULA V Dz(int64_t offset) const {
    const V d = Load<V>(dy + offset);
    if (!fused) return d;
    return Load<V>(y + offset) == V{} ? V{} : d * keep_scale;
  }
  template <typename V>
  LOCKSTEP_FORMULA void operator()(int64_t offset, int64_t j, V* a, V* b) const {
    const V dz = Dz<V>(offset);
    *a = dz;
    *b = dz * (Load<V>(x + offset) - Load<V>(high + j));
  }
};

template <typename T>
void GradientSums(const ChannelRows& g, int64_t b, int64_t begin, int64_t end,
                  const GradientArgs<T>& args, const T* x, const T* y, const T* dy, double* sum_dz,
                  double* sum_dz_x) {
  alignas(64) T high[kPattern];
  for (int64_t j = 0; j < g.width; ++j) {
    high[j] = args.high[b * g.width + j];
    sum_dz[j] = sum_dz_x[j] = 0;
  }
  RepeatPattern(g.width, high);
  const auto sum = [&](bool fused) __attribute__((always_inline)) {
    const GradientTerm<T> term{x, y, dy, high, args.keep_scale, fused};
    ForSegmentsOfRun(g, b, begin, end, [&](int64_t offset, int64_t rows) {
      SumColumns<T>(offset, rows, g.row_stride, g.width, term, sum_dz, sum_dz_x);
    });
  };
  args.fused ? sum(true) : sum(false);
}

// map.At<V>(j) reads the constants of channels j, j + 1, ...; map.Apply(offset, packed, constants)
// writes the elements at memory offset `offset`, whose number among those of these rows is
// `packed`.
template <typename T, typename Map>
LOCKSTEP_FORMULA void MapNarrow(int64_t offset, int64_t elements, int64_t width, const Map& map) {
  using V = Vec<T>;
  const auto constants = map.template At<V>(0);
  int64_t i = 0;
  for (; i + kLanes<T> <= elements; i += kLanes<T>) map.Apply(offset + i, i, constants);
  for (; i < elements; ++i) map.Apply(offset + i, i, map.template At<T>(i % width));
}

// Rows of kVectors vectors: their constants stay in registers.
template <int kVectors, typename T, typename Map>
LOCKSTEP_FORMULA void MapStrip(int64_t offset, int64_t rows, int64_t row_stride, const Map& map) {
  using V = Vec<T>;
  decltype(map.template At<V>(0)) constants[kVectors];
  for (int v = 0; v < kVectors; ++v) constants[v] = map.template At<V>(v * kLanes<T>);
  for (int64_t i = 0; i < rows; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      map.Apply(offset + i * row_stride + v * kLanes<T>, (i * kVectors + v) * kLanes<T>,
                constants[v]);
    }
  }
}

template <typename T, typename Map>
LOCKSTEP_FORMULA void MapRows(int64_t offset, int64_t rows, int64_t row_stride, int64_t width,
                              const Map& map) {
  using V = Vec<T>;
  if (width < kLanes<T> && kLanes<T> % width == 0 && row_stride == width) {
    MapNarrow<T>(offset, rows * width, width, map);
    return;
  }
  if (width == kLanes<T>) return MapStrip<1, T>(offset, rows, row_stride, map);
  if (width == 2 * kLanes<T>) return MapStrip<2, T>(offset, rows, row_stride, map);
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t at = offset + i * row_stride;
    int64_t j = 0;
    for (; j + kLanes<T> <= width; j += kLanes<T>) {
      map.Apply(at + j, i * width + j, map.template At<V>(j));
    }
    for (; j < width; ++j) map.Apply(at + j, i * width + j, map.template At<T>(j));
  }
}

template <typename V>
struct ThreeConstants {
  V high, factor, offset;
};

template <typename T, bool kRelu, bool kDropout>
struct NormalizeMap {
  const T* x;
  T* y;
  const T* high;
  const T* factor;
  const T* shift;
  const T* keep;
  template <typename V>
  LOCKSTEP_FORMULA ThreeConstants<V> At(int64_t j) const {
    return {Load<V>(high + j), Load<V>(factor + j), Load<V>(shift + j)};
  }
  template <typename V>
  LOCKSTEP_FORMULA void Apply(int64_t offset, int64_t packed, const ThreeConstants<V>& k) const {
    V v = (Load<V>(x + offset) - k.high) * k.factor + k.offset;
    if constexpr (kRelu) v = v < V{} ? V{} : v;
    if constexpr (kDropout) v = v * Load<V>(keep + packed);
    Store(y + offset, v);
  }
};

// The constants of a run with the repeated pattern that MapNarrow reads; none where not narrow.
template <typename T>
struct RunConstants {
  alignas(64) T values[3][4 * kLanes<T>];
  const T* at[3];
  LOCKSTEP_FORMULA void Set(int64_t width, int64_t channel, const T* a, const T* b, const T* c) {
    const T* from[3] = {a, b, c};
    for (int k = 0; k < 3; ++k) {
      at[k] = from[k] + channel;
      if (width >= kLanes<T>) continue;
      for (int64_t j = 0; j < width; ++j) values[k][j] = at[k][j];
      RepeatPattern(width, values[k]);
      at[k] = values[k];
    }
  }
};

template <typename T, bool kRelu>
void NormalizePlain(const ChannelRows& g, int64_t begin, int64_t end, const NormalizeArgs<T>& args,
                    const T* x, T* y) {
  RunConstants<T> k;
  ForSegments(g, begin, end, [&](const Segment& s) {
    k.Set(g.width, s.channel, args.high, args.factor, args.offset);
    const NormalizeMap<T, kRelu, false> map{x, y, k.at[0], k.at[1], k.at[2], nullptr};
    MapRows<T>(s.offset, s.rows, g.row_stride, g.width, map);
  });
}

template <typename T>
void NormalizeDropout(const ChannelRows& g, int64_t begin, int64_t end,
                      const NormalizeArgs<T>& args, const T* x, T* y) {
  RunConstants<T> k;
  alignas(64) T keep[kDrawElements];
  const int64_t rows_at_once = DrawRows(g.width);
  ForSegments(g, begin, end, [&](const Segment& s) {
    k.Set(g.width, s.channel, args.high, args.factor, args.offset);
    const NormalizeMap<T, true, true> map{x, y, k.at[0], k.at[1], k.at[2], keep};
    for (int64_t r = 0; r < s.rows; r += rows_at_once) {
      const int64_t rows = s.rows - r < rows_at_once ? s.rows - r : rows_at_once;
      DrawKeep(args.dropout, s.sample, s.element + r * g.channels, g.channels, rows, g.width, keep);
      MapRows<T>(s.offset + r * g.row_stride, rows, g.row_stride, g.width, map);
    }
  });
}

template <typename T>
void Normalize(const ChannelRows& g, int64_t begin, int64_t end, const NormalizeArgs<T>& args,
               const T* x, T* y) {
  if (args.dropout.scale != 0) return NormalizeDropout(g, begin, end, args, x, y);
  if (args.relu) return NormalizePlain<T, true>(g, begin, end, args, x, y);
  return NormalizePlain<T, false>(g, begin, end, args, x, y);
}

template <typename V>
struct FourConstants {
  V high, dz_factor, offset, x_factor;
};

template <typename T>
struct ApplyMap {
  GradientTerm<T> term;
  T* dx;
  const T* dz_factor;
  const T* shift;
  const T* x_factor;
  template <typename V>
  LOCKSTEP_FORMULA FourConstants<V> At(int64_t j) const {
    return {Load<V>(term.high + j), Load<V>(dz_factor + j), Load<V>(shift + j),
            Load<V>(x_factor + j)};
  }
  template <typename V>
  LOCKSTEP_FORMULA void Apply(int64_t offset, int64_t, const FourConstants<V>& k) const {
    const V centred = Load<V>(term.x + offset) - k.high;
    const V dz = term.template Dz<V>(offset);
    Store(dx + offset, dz * k.dz_factor - k.offset - centred * k.x_factor);
  }
};

template <typename T, bool kFused>
void ApplyGradient(const ChannelRows& g, int64_t begin, int64_t end, const GradientArgs<T>& args,
                   const T* x, const T* y, const T* dy, T* dx) {
  RunConstants<T> k;
  RunConstants<T> high;
  ForSegments(g, begin, end, [&](const Segment& s) {
    k.Set(g.width, s.channel, args.dz_factor, args.offset, args.x_factor);
    high.Set(g.width, s.channel, args.high, args.high, args.high);
    const GradientTerm<T> term{x, y, dy, high.at[0], args.keep_scale, kFused};
    MapRows<T>(s.offset, s.rows, g.row_stride, g.width,
               ApplyMap<T>{term, dx, k.at[0], k.at[1], k.at[2]});
  });
}

template <typename T>
void GradientApply(const ChannelRows& g, int64_t begin, int64_t end, const GradientArgs<T>& args,
                   const T* x, const T* y, const T* dy, T* dx) {
  if (args.fused) return ApplyGradient<T, true>(g, begin, end, args, x, y, dy, dx);
  return ApplyGradient<T, false>(g, begin, end, args, x, y, dy, dx);
}

}  // namespace

void GetNorm(NormLoops<float>* f32, NormLoops<double>* f64) {
  *f32 = {Moments<float>, Normalize<float>, GradientSums<float>, GradientApply<float>};
  *f64 = {Moments<double>, Normalize<double>, GradientSums<double>, GradientApply<double>};
}

}  // namespace lockstep::cpu::LOCKSTEP_ISA
