#include "kernels/cpu/isa/column_sums.h"
#include "kernels/cpu/isa/families.h"
#include "kernels/cpu/isa/segments.h"
#include "kernels/math/fixed_point.h"

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

template <typename T>
LOCKSTEP_FORMULA typename math::Bits<T>::Int LargestBits(int64_t size, const T* x) {
  typename math::Bits<T>::Int largest = 0;
  for (int64_t i = 0; i < size; ++i) {
    const auto m = math::Magnitude(x[i]);
    largest = m > largest ? m : largest;
  }
  return largest;
}

template <typename T>
int64_t FirstNonFinite(int64_t size, const T* x) {
  constexpr int64_t kPart = 1024;
  for (int64_t begin = 0; begin < size; begin += kPart) {
    const int64_t end = size - begin < kPart ? size : begin + kPart;
    if (LargestBits(end - begin, x + begin) < math::Bits<T>::kInfinity) continue;
    for (int64_t i = begin; i < end; ++i) {
      if (math::Magnitude(x[i]) >= math::Bits<T>::kInfinity) return i;
    }
  }
  return -1;
}

template <typename T>
double LargestMagnitude(int64_t size, const T* x) {
  return math::OfMagnitude<T>(LargestBits(size, x));
}

template <typename T>
void ToFixedPoint(int64_t size, const T* x, double scale, bool accumulate, int64_t* sums) {
  using V = Vec<double>;
  using I = Vec<int64_t>;
  typedef T Few __attribute__((vector_size(kLanes<double> * sizeof(T))));
  int64_t i = 0;
  for (; i + kLanes<double> <= size; i += kLanes<double>) {
    const V value = __builtin_convertvector(Load<Few>(x + i), V) * scale;
    I sum = math::RoundToInteger<V, I>(value);
    if (accumulate) sum += Load<I>(sums + i);
    Store(sums + i, sum);
  }
  for (; i < size; ++i) {
    const int64_t term = math::RoundToInteger<double, int64_t>(static_cast<double>(x[i]) * scale);
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
