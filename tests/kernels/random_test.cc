#include "kernels/random.h"

#include <limits>

#include "kernels/error.h"
#include "tests/kernels/devices.h"

namespace lockstep::test {
namespace {

// kat_vectors of Random123 1.14 (D. E. Shaw Research), philox4x32 with 10 rounds.
TEST(Philox, GivesTheKnownAnswersOfRandom123) {
  EXPECT_EQ(Philox(0, {0, 0, 0, 0}), (PhiloxWords{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox(~uint64_t{0}, {~0U, ~0U, ~0U, ~0U}),
            (PhiloxWords{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox(0x299f31d0a4093822, {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}),
            (PhiloxWords{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

constexpr uint32_t kEpoch = 3;

std::vector<int64_t> SampleIds(int64_t n) {
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < n; ++i) ids.push_back((i * 77 + 5) << (i % 3 == 2 ? 33 : 0));
  return ids;
}

// The definition in kernels/random.h, one number at a time.
template <typename T>
std::vector<T> ReferenceDropout(const PictureShape& s, Layout l, const DropoutArgs& a,
                                const std::vector<T>& x) {
  std::vector<T> y(x.size());
  ForEach(s, [&](int64_t n, int64_t c, int64_t h, int64_t w) {
    const int64_t e = (h * s.w + w) * s.c + c;
    const PhiloxWords words =
        Philox(a.key, SampleCounter(static_cast<uint32_t>(e / 4), a.sample_ids[n], *a.epoch));
    const bool keep = words[static_cast<size_t>(e % 4)] >= std::nearbyint(a.ratio * 4294967296.0);
    const size_t at = At(s, l, n, c, h, w);
    y[at] = keep ? x[at] * static_cast<T>(1 / (1 - a.ratio)) : T(0);
  });
  return y;
}

template <typename T>
void CheckDropout(Backend& b, const PictureShape& s) {
  const auto ids = SampleIds(s.n);
  const auto x = Numbers<T>(Size(s), 1, 1, 2);
  for (const Layout l : Layouts(s.c)) {
    for (const double ratio : {0.0, 0.3, 0.5}) {
      const DropoutArgs args{ratio, RandomKey(1, 2, RandomUse::kDropout), &kEpoch, ids.data()};
      std::vector<T> y(x.size()), dx(x.size());
      b.random().DropoutForward(DTypeOf<T>(), s, l, args, x.data(), y.data());
      ASSERT_EQ(y, ReferenceDropout(s, l, args, x)) << "block " << l.block << " c " << s.c;
      b.random().DropoutBackward(DTypeOf<T>(), s, l, args, x.data(), dx.data());
      ASSERT_EQ(y, dx);
      auto in_place = x;
      b.random().DropoutForward(DTypeOf<T>(), s, l, args, in_place.data(), in_place.data());
      ASSERT_EQ(y, in_place);
    }
  }
}

TEST(Dropout, DrawsTheDefinedNumbersInEveryLayout) {
  for (const auto& b : Devices()) {
    for (const PictureShape& s :
         {PictureShape{2, 16, 5, 7}, PictureShape{5, 10, 1, 1}, PictureShape{3, 6, 4, 3},
          PictureShape{1, 64, 17, 16}, PictureShape{4, 3, 1, 1}, PictureShape{2, 1500, 2, 1},
          PictureShape{3, 2048, 1, 1}, PictureShape{2, 1, 40, 40}}) {
      CheckDropout<float>(*b, s);
      CheckDropout<double>(*b, s);
    }
  }
}

TEST(Dropout, DropsTheRatioOfItsElementsAndKeepsTheMean) {
  const PictureShape s{16, 64, 32, 32};
  const std::vector<float> x(static_cast<size_t>(Size(s)), 1.0F);
  const auto ids = SampleIds(s.n);
  for (const double ratio : {0.1, 0.3, 0.5, 0.9}) {
    std::vector<float> y(x.size());
    BestBackend()->random().DropoutForward(DType::kFloat32, s, {16},
                                           {ratio, 11, &kEpoch, ids.data()}, x.data(), y.data());
    double zeros = 0, sum = 0;
    for (const float v : y) zeros += v == 0 ? 1 : 0, sum += v;
    const double size = static_cast<double>(x.size());
    EXPECT_NEAR(zeros / size, ratio, 5 * std::sqrt(ratio * (1 - ratio) / size));
    EXPECT_NEAR(sum / size, 1, 0.01);
  }
}

TEST(Dropout, RefusesARatioOutsideZeroToOne) {
  const int64_t id = 0;
  float x = 1;
  for (const double ratio : {-0.1, 1.0, 1.5, static_cast<double>(NAN)}) {
    EXPECT_THROW(BestBackend()->random().DropoutForward(DType::kFloat32, {1, 1, 1, 1}, {1},
                                                        {ratio, 1, 0, &id}, &x, &x),
                 ConfigError);
  }
}

// The definition: Box-Muller in double on the words of counter i / 4.
double ReferenceNormal(uint64_t key, size_t i) {
  const PhiloxWords words = Philox(key, {static_cast<uint32_t>(i / 4), 0, 0, 0});
  const size_t pair = i % 4 / 2 * 2;
  const double u = (static_cast<double>(words[pair] >> 1) + 0.5) * 0x1p-31;
  const double angle = 2 * M_PI * static_cast<double>(words[pair + 1] >> 8) * 0x1p-24;
  return std::sqrt(-2 * std::log(u)) * (i % 2 == 0 ? std::cos(angle) : std::sin(angle));
}

template <typename T>
void CheckNormal(Backend& b, int64_t size) {
  std::vector<T> x(static_cast<size_t>(size));
  b.random().FillNormal(DTypeOf<T>(), 99, 0.5, 2.0, size, x.data());
  std::vector<double> wanted;
  for (size_t i = 0; i < x.size(); ++i) wanted.push_back(0.5 + 2 * ReferenceNormal(99, i));
  // Float has few values near u = 1, where the radius is small: 3e-8 / radius is lost there.
  ExpectClose(x, wanted, sizeof(T) == 4 ? 3e-4 : 1e-13, b.fingerprint());
}

TEST(FillNormal, IsBoxMullerOfThePhiloxWords) {
  for (const auto& b : Devices()) {
    for (const int64_t size : {1, 3, 5, 1023, 50001}) {
      CheckNormal<float>(*b, size);
      CheckNormal<double>(*b, size);
    }
  }
}

TEST(FillNormal, HasTheMomentsAndTailsOfTheNormalDistribution) {
  std::vector<float> x(4000000);
  BestBackend()->random().FillNormal(DType::kFloat32, 5, 0, 1, 4000000, x.data());
  double m1 = 0, m2 = 0, m3 = 0, m4 = 0, beyond3 = 0, largest = 0;
  for (const float v : x) {
    const double d = v;
    m1 += d, m2 += d * d, m3 += d * d * d, m4 += d * d * d * d;
    beyond3 += std::abs(d) > 3 ? 1 : 0;
    largest = std::max(largest, std::abs(d));
  }
  EXPECT_NEAR(m1 / 4e6, 0, 0.0025);
  EXPECT_NEAR(m2 / 4e6, 1, 0.004);
  EXPECT_NEAR(m3 / 4e6, 0, 0.01);
  EXPECT_NEAR(m4 / 4e6, 3, 0.025);
  EXPECT_NEAR(beyond3 / 4e6, 0.0026998, 0.00013);
  EXPECT_GT(largest, 4.5);
  EXPECT_LT(largest, 6.7);
}

template <typename T>
void CheckUniform(Backend& b, double low, double high) {
  std::vector<T> x(100001);
  b.random().FillUniform(DTypeOf<T>(), 4, low, high, 100001, x.data());
  double sum = 0, squares = 0;
  for (const T v : x) {
    ASSERT_GE(v, static_cast<T>(low));
    ASSERT_LT(v, static_cast<T>(high));
    const double unit = (static_cast<double>(v) - low) / (high - low);
    sum += unit, squares += unit * unit;
  }
  EXPECT_NEAR(sum / 100001, 0.5, 0.005);
  EXPECT_NEAR(squares / 100001, 1 / 3.0, 0.005);
}

TEST(FillUniform, StaysInsideItsHalfOpenRange) {
  for (const auto& b : Devices()) {
    CheckUniform<float>(*b, 0, 1);
    CheckUniform<float>(*b, -3, 5);
    CheckUniform<double>(*b, -3, 5);
    std::vector<float> x(100000);
    b->random().FillUniform(DType::kFloat32, 4, 1, 1 + 1e-6, 100000, x.data());
    for (const float v : x) ASSERT_LT(v, static_cast<float>(1 + 1e-6));
  }
}

TEST(Fill, BitsDoNotDependOnTheNumberOfThreads) {
  std::vector<float> first(100003), x(100003);
  for (const int threads : {1, 2, 3}) {
    const auto b = BestBackend(threads);
    b->random().FillNormal(DType::kFloat32, 1, 0, 1, 100003, x.data());
    if (threads == 1) first = x;
    EXPECT_EQ(first, x);
  }
}

}  // namespace
}  // namespace lockstep::test
