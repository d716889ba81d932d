#include "kernels/reduce.h"

#include <cmath>
#include <limits>

#include "tests/kernels/devices.h"

namespace lockstep::test {
namespace {

template <typename T>
double SumOfSquares(Backend& b, const std::vector<T>& x) {
  double sum = 0;
  b.reduce().AddSquares(DTypeOf<T>(), static_cast<int64_t>(x.size()), x.data(), &sum);
  return sum;
}

template <typename T>
void CheckSumOfSquares(Backend& b, int64_t size) {
  const auto x = Numbers<T>(size, 3, -2, 2);
  double wanted = 0;
  for (const T v : x) wanted += static_cast<double>(v) * static_cast<double>(v);
  EXPECT_NEAR(SumOfSquares(b, x), wanted, 1e-12 * (1 + wanted));
  double sum = 0.5;
  b.reduce().AddSquares(DTypeOf<T>(), size, x.data(), &sum);
  EXPECT_NEAR(sum, 0.5 + wanted, 1e-12 * (1 + wanted));
}

TEST(AddSquares, IsExactInDouble) {
  for (const auto& b : Devices()) {
    for (const int64_t size : {0, 1, 31, 33, 100001}) {
      CheckSumOfSquares<float>(*b, size);
      CheckSumOfSquares<double>(*b, size);
    }
  }
}

TEST(AddSquares, SurvivesSquaresBeyondFloat) {
  const std::vector<float> x(100, 1e30F);
  EXPECT_NEAR(SumOfSquares(*BestBackend(), x), 1e62, 1e56);
}

template <typename T>
void CheckChannelSums(Backend& b, const PictureShape& s) {
  const auto x = Numbers<T>(Size(s), 3);
  for (const Layout l : Layouts(s.c)) {
    std::vector<double> wanted(static_cast<size_t>(s.c));
    ForEach(s, [&](int64_t n, int64_t c, int64_t h, int64_t w) {
      wanted[static_cast<size_t>(c)] += static_cast<double>(x[At(s, l, n, c, h, w)]);
    });
    std::vector<T> y(wanted.size(), T(77));
    b.reduce().ChannelSums(DTypeOf<T>(), s, l, x.data(), y.data());
    ExpectClose(y, wanted, Tolerance<T>(), "block " + std::to_string(l.block));
  }
}

TEST(ChannelSums, SumOverSamplesAndPixelsInEveryLayout) {
  for (const auto& b : Devices()) {
    for (const PictureShape& s :
         {PictureShape{3, 16, 5, 7}, PictureShape{64, 10, 1, 1}, PictureShape{2, 48, 33, 31},
          PictureShape{5, 3, 32, 32}, PictureShape{70, 600, 1, 1}, PictureShape{3, 320, 3, 5}}) {
      CheckChannelSums<float>(*b, s);
      CheckChannelSums<double>(*b, s);
    }
  }
}

template <typename T>
void CheckFixedPoint(Backend& b, int64_t size, int exponent) {
  ReduceKernels& reduce = b.reduce();
  const double scale = std::ldexp(1.0, exponent);
  auto x = Numbers<T>(size, 5, -3, 3);
  for (size_t i = 0; i < x.size(); i += 3) x[i] *= T(1e-7);  // few bits above the point
  if (size > 4) x[4] = static_cast<T>(2.5 / scale);          // a tie
  std::vector<int64_t> sums(x.size(), -1), wanted;
  for (const T v : x) wanted.push_back(std::llrint(static_cast<double>(v) * scale));
  reduce.ToFixedPoint(DTypeOf<T>(), size, x.data(), scale, false, sums.data());
  EXPECT_EQ(sums, wanted) << "exponent " << exponent;
  reduce.ToFixedPoint(DTypeOf<T>(), size, x.data(), scale, true, sums.data());
  for (int64_t& sum : wanted) sum *= 2;
  EXPECT_EQ(sums, wanted) << "exponent " << exponent;
  std::vector<T> y(x.size());
  reduce.FromFixedPoint(DTypeOf<T>(), size, sums.data(), 0.5 / scale, y.data());
  for (size_t i = 0; i < y.size(); ++i) {
    EXPECT_EQ(y[i], static_cast<T>(static_cast<double>(wanted[i]) * (0.5 / scale)));
  }
}

TEST(FixedPoint, RoundsToTheNearestInteger) {
  for (const auto& b : Devices()) {
    for (const int64_t size : {0, 1, 7, 100003}) {
      for (const int exponent : {0, 3, 20, 33, 45, 58}) {
        CheckFixedPoint<float>(*b, size, exponent);
        CheckFixedPoint<double>(*b, size, exponent);
      }
    }
  }
}

TEST(LargestMagnitude, IsThatOfTheWholeArray) {
  for (const auto& b : Devices()) {
    std::vector<float> x(70001, 0.25F);
    EXPECT_EQ(b->reduce().LargestMagnitude(DType::kFloat32, 0, x.data()), 0.0);
    for (const size_t at : {size_t{0}, size_t{40000}, size_t{70000}}) {
      x[at] = -7.5F;
      EXPECT_EQ(b->reduce().LargestMagnitude(DType::kFloat32, 70001, x.data()), 7.5);
      for (const float bad : {std::numeric_limits<float>::infinity(), std::nanf("")}) {
        x[at] = -bad;
        EXPECT_EQ(b->reduce().LargestMagnitude(DType::kFloat32, 70001, x.data()),
                  std::numeric_limits<double>::infinity());
      }
      x[at] = 0.25F;
    }
    const double small[] = {-1e-300, 1e-310, 0};
    EXPECT_EQ(b->reduce().LargestMagnitude(DType::kFloat64, 3, small), 1e-300);
  }
}

TEST(Reduce, BitsDoNotDependOnTheNumberOfThreads) {
  const PictureShape s{7, 48, 33, 31};
  const auto x = Numbers<float>(Size(s), 3);
  for (const Layout l : Layouts(s.c)) {
    std::vector<float> first(48);
    double squares = 0;
    for (const int threads : {1, 2, 3}) {
      const auto b = BestBackend(threads);
      std::vector<float> y(48);
      b->reduce().ChannelSums(DType::kFloat32, s, l, x.data(), y.data());
      const double q = SumOfSquares(*b, x);
      if (threads == 1) first = y, squares = q;
      EXPECT_EQ(first, y) << "block " << l.block << " threads " << threads;
      EXPECT_EQ(squares, q);
    }
  }
}

template <typename T>
void CheckFirstNonFinite(Backend& b) {
  auto x = Numbers<T>(70000, 3);
  x[5] = std::numeric_limits<T>::max();
  x[6] = std::numeric_limits<T>::denorm_min();
  EXPECT_EQ(b.reduce().FirstNonFinite(DTypeOf<T>(), 70000, x.data()), -1);
  for (const size_t i : {size_t{69999}, size_t{50000}, size_t{1500}, size_t{0}}) {
    x[i] = i % 2 == 0 ? -std::numeric_limits<T>::infinity() : std::numeric_limits<T>::quiet_NaN();
    EXPECT_EQ(b.reduce().FirstNonFinite(DTypeOf<T>(), 70000, x.data()), static_cast<int64_t>(i));
  }
  EXPECT_EQ(b.reduce().FirstNonFinite(DTypeOf<T>(), 0, x.data()), -1);
}

TEST(FirstNonFinite, NamesTheFirstNaNOrInfinity) {
  for (const auto& b : Devices()) {
    CheckFirstNonFinite<float>(*b);
    CheckFirstNonFinite<double>(*b);
  }
}

}  // namespace
}  // namespace lockstep::test
