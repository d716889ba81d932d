#include "kernels/cpu/isa/column_sums.h"
#include "kernels/cpu/isa/families.h"
#include "kernels/cpu/isa/segments.h"

namespace lockstep::cpu::LOCKSTEP_ISA {
namespace {

// In double, so that neither the squares of large values overflow nor small ones get lost.
template <typename T>
double SumOfSquares(int64_t size, const T* x) {
  constexpr int64_t kAccumulators = 32;
  double sums[kAccumulators] = {};
  int64_t i = 0;
  for (; i + kAccumulators <= size; i += kAccumulators) {
    for (int64_t j = 0; j < kAccumulators; ++j) {
      const double v = static_cast<double>(x[i + j]);
      sums[j] += v * v;
    }
  }
  for (int64_t j = 0; i < size; ++i, ++j) {
    const double v = static_cast<double>(x[i]);
    sums[j] += v * v;
  }
  double sum = 0;
  for (const double s : sums) sum += s;
  return sum;
}

template <typename T>
struct ValueTerm {
  const T* x;
  template <typename V>
  LOCKSTEP_FORMULA void operator()(int64_t offset, int64_t, V* a, V* b) const {
    *a = Load<V>(x + offset);
    *b = V{};
  }
};

template <typename T>
void ChannelSums(const ChannelRows& g, int64_t b, int64_t begin, int64_t end, const T* x,
                 double* sums) {
  double unused[kGroupChannels];
  for (int64_t j = 0; j < g.width; ++j) sums[j] = unused[j] = 0;
  ForSegmentsOfRun(g, b, begin, end, [&](int64_t offset, int64_t rows) {
    SumColumns<T>(offset, rows, g.row_stride, g.width, ValueTerm<T>{x}, sums, unused);
  });
}

// A value is finite when its exponent is not all ones: when its magnitude, as an integer, is below
// that of infinity.
template <typename T>
struct Bits;
template <>
struct Bits<float> {
  using Int = int32_t;
  static constexpr Int kMagnitude = 0x7FFFFFFF, kInfinity = 0x7F800000;
};
template <>
struct Bits<double> {
  using Int = int64_t;
  static constexpr Int kMagnitude = 0x7FFFFFFFFFFFFFFF, kInfinity = 0x7FF0000000000000;
};

template <typename T>
LOCKSTEP_FORMULA typename Bits<T>::Int Magnitude(T x) {
  return __builtin_bit_cast(typename Bits<T>::Int, x) & Bits<T>::kMagnitude;
}

template <typename T>
LOCKSTEP_FORMULA typename Bits<T>::Int LargestBits(int64_t size, const T* x) {
  typename Bits<T>::Int largest = 0;
  for (int64_t i = 0; i < size; ++i) {
    const auto m = Magnitude(x[i]);
    largest = m > largest ? m : largest;
  }
  return largest;
}

template <typename T>
int64_t FirstNonFinite(int64_t size, const T* x) {
  constexpr int64_t kPart = 1024;
  for (int64_t begin = 0; begin < size; begin += kPart) {
    const int64_t end = size - begin < kPart ? size : begin + kPart;
    if (LargestBits(end - begin, x + begin) < Bits<T>::kInfinity) continue;
    for (int64_t i = begin; i < end; ++i) {
      if (Magnitude(x[i]) >= Bits<T>::kInfinity) return i;
    }
  }
  return -1;
}

template <typename T>
double LargestMagnitude(int64_t size, const T* x) {
  const auto largest = LargestBits(size, x);
  if (largest >= Bits<T>::kInfinity) return __builtin_inf();
  return static_cast<double>(__builtin_bit_cast(T, largest));
}

// Adding kRounder to a double below 2^51 leaves its nearest integer in the low bits.
constexpr double kRounder = 0x1.8p52;

// |x| < 2^62 rounded to the nearest integer: the upper and the lower 32 bits apart, as instruction
// sets before AVX-512 have no conversion to 64-bit integers. Both are exact: what is left of the
// upper half is at most 2^31.
template <typename V, typename I>
LOCKSTEP_FORMULA I RoundToInteger(V x) {
  const V rounder = V{} + kRounder;
  const V upper = x * 0x1p-32 + rounder;
  const V lower = (x - (upper - rounder) * 0x1p32) + rounder;
  const I zero = __builtin_bit_cast(I, rounder);
  return ((__builtin_bit_cast(I, upper) - zero) << 32) + (__builtin_bit_cast(I, lower) - zero);
}

template <typename T>
void ToFixedPoint(int64_t size, const T* x, double scale, bool accumulate, int64_t* sums) {
  using V = Vec<double>;
  using I = Vec<int64_t>;
  typedef T Few __attribute__((vector_size(kLanes<double> * sizeof(T))));
  int64_t i = 0;
  for (; i + kLanes<double> <= size; i += kLanes<double>) {
    const V value = __builtin_convertvector(Load<Few>(x + i), V) * scale;
    I sum = RoundToInteger<V, I>(value);
    if (accumulate) sum += Load<I>(sums + i);
    Store(sums + i, sum);
  }
  for (; i < size; ++i) {
    const int64_t term = RoundToInteger<double, int64_t>(static_cast<double>(x[i]) * scale);
    sums[i] = accumulate ? sums[i] + term : term;
  }
}

template <typename T>
void FromFixedPoint(int64_t size, const int64_t* sums, double scale, T* y) {
  for (int64_t i = 0; i < size; ++i) {
    y[i] = static_cast<T>(static_cast<double>(sums[i]) * scale);
  }
}

}  // namespace

void GetReduce(ReduceLoops<float>* f32, ReduceLoops<double>* f64) {
  *f32 = {SumOfSquares<float>,     ChannelSums<float>,  FirstNonFinite<float>,
          LargestMagnitude<float>, ToFixedPoint<float>, FromFixedPoint<float>};
  *f64 = {SumOfSquares<double>,     ChannelSums<double>,  FirstNonFinite<double>,
          LargestMagnitude<double>, ToFixedPoint<double>, FromFixedPoint<double>};
}

}  // namespace lockstep::cpu::LOCKSTEP_ISA
