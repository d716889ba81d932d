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
int64_t FirstNonFinite(int64_t size, const T* x) {
  using Int = typename Bits<T>::Int;
  constexpr int64_t kPart = 1024;
  for (int64_t begin = 0; begin < size; begin += kPart) {
    const int64_t end = size - begin < kPart ? size : begin + kPart;
    Int largest = 0;
    for (int64_t i = begin; i < end; ++i) {
      const Int m = Magnitude(x[i]);
      largest = m > largest ? m : largest;
    }
    if (largest < Bits<T>::kInfinity) continue;
    for (int64_t i = begin; i < end; ++i) {
      if (Magnitude(x[i]) >= Bits<T>::kInfinity) return i;
    }
  }
  return -1;
}

}  // namespace

void GetReduce(ReduceLoops<float>* f32, ReduceLoops<double>* f64) {
  *f32 = {SumOfSquares<float>, ChannelSums<float>, FirstNonFinite<float>};
  *f64 = {SumOfSquares<double>, ChannelSums<double>, FirstNonFinite<double>};
}

}  // namespace lockstep::cpu::LOCKSTEP_ISA
