// CpuGemm against sums in double: every transposition, odd extents, strides wider than the
// matrices, beta, epilogue, thread counts, and each instruction set this machine has.
#include "kernels/cpu/gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "kernels/cpu/dispatch.h"
#include "kernels/cpu/parallel.h"
#include "kernels/error.h"

namespace lockstep::cpu {

namespace baseline {
extern const gemm::Table kGemmTable;
}

namespace {

constexpr double kUntouched = 12345;

template <typename T>
std::vector<T> RandomValues(int64_t size, uint32_t seed) {
  std::mt19937 engine(seed);
  std::uniform_real_distribution<double> uniform(-1, 1);
  std::vector<T> values(static_cast<size_t>(size));
  for (T& v : values) v = static_cast<T>(uniform(engine));
  return values;
}

// One product with all its operands, and what it should give.
template <typename T>
struct Problem {
  GemmArgs args;
  std::vector<T> a, b, c, bias;

  Problem(int64_t m, int64_t n, int64_t k, bool trans_a, bool trans_b, int64_t extra_stride) {
    args.m = m;
    args.n = n;
    args.k = k;
    args.trans_a = trans_a;
    args.trans_b = trans_b;
    args.lda = (trans_a ? m : k) + extra_stride;
    args.ldb = (trans_b ? k : n) + extra_stride;
    args.ldc = n + extra_stride;
    a = RandomValues<T>((trans_a ? k : m) * args.lda, 1);
    b = RandomValues<T>((trans_b ? n : k) * args.ldb, 2);
    c = RandomValues<T>(m * args.ldc, 3);
    bias = RandomValues<T>(n, 4);
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t j = n; j < args.ldc; ++j) c[static_cast<size_t>(i * args.ldc + j)] = kUntouched;
    }
  }

  double A(int64_t i, int64_t s) const {
    return a[static_cast<size_t>(args.trans_a ? s * args.lda + i : i * args.lda + s)];
  }
  double B(int64_t s, int64_t j) const {
    return b[static_cast<size_t>(args.trans_b ? j * args.ldb + s : s * args.ldb + j)];
  }
  double Expected(int64_t i, int64_t j) const {
    if (j >= args.n) return kUntouched;
    double sum = args.beta != 0 ? c[static_cast<size_t>(i * args.ldc + j)] : 0;
    for (int64_t s = 0; s < args.k; ++s) sum += A(i, s) * B(s, j);
    if (args.bias != nullptr) sum += bias[static_cast<size_t>(j)];
    return args.activation == Activation::kRelu && sum < 0 ? 0 : sum;
  }

  void Point(std::vector<T>& out) {
    args.a = a.data();
    args.b = b.data();
    args.c = out.data();
  }

  void Check(CpuGemm& gemm) {
    std::vector<T> out = c;
    if (args.beta == 0) {
      for (int64_t i = 0; i < args.m; ++i) {
        for (int64_t j = 0; j < args.n; ++j) out[static_cast<size_t>(i * args.ldc + j)] = NAN;
      }
    }
    Point(out);
    gemm.Gemm(DTypeOf<T>(), args);
    const double tolerance = (sizeof(T) == 4 ? 1e-6 : 1e-14) * static_cast<double>(args.k + 4);
    for (int64_t i = 0; i < args.m; ++i) {
      for (int64_t j = 0; j < args.ldc; ++j) {
        ASSERT_NEAR(out[static_cast<size_t>(i * args.ldc + j)], Expected(i, j), tolerance)
            << "(" << i << ", " << j << ") of m " << args.m << " n " << args.n << " k " << args.k
            << (args.trans_a ? " T" : " N") << (args.trans_b ? "T" : "N");
      }
    }
  }
};

class GemmTest : public ::testing::TestWithParam<std::tuple<Isa, int>> {
 protected:
  void SetUp() override { SetThreads(std::get<int>(GetParam())); }
  void TearDown() override { SetThreads(1); }
  CpuGemm gemm_{std::get<Isa>(GetParam())};
};

template <typename T>
void CheckAll(CpuGemm& gemm, int64_t m, int64_t n, int64_t k) {
  for (const bool trans_a : {false, true}) {
    for (const bool trans_b : {false, true}) {
      Problem<T>(m, n, k, trans_a, trans_b, 0).Check(gemm);
      Problem<T> p(m, n, k, trans_a, trans_b, 3);
      p.args.beta = 1;
      p.args.bias = p.bias.data();
      p.Check(gemm);
      p.args.beta = 0;
      p.args.activation = Activation::kRelu;
      p.Check(gemm);
    }
  }
}

TEST_P(GemmTest, EqualsSumsInDoubleOverOddExtents) {
  for (const auto& [m, n, k] : std::vector<std::tuple<int64_t, int64_t, int64_t>>{{1, 1, 1},
                                                                                  {1, 7, 3},
                                                                                  {7, 1, 5},
                                                                                  {5, 13, 1},
                                                                                  {6, 16, 8},
                                                                                  {13, 33, 17},
                                                                                  {32, 10, 7},
                                                                                  {32, 1, 10},
                                                                                  {10, 1000, 9},
                                                                                  {100, 10, 65},
                                                                                  {64, 50, 25},
                                                                                  {47, 95, 385},
                                                                                  {3, 17, 769},
                                                                                  {50, 64, 500},
                                                                                  {131, 67, 33},
                                                                                  {20, 576, 25},
                                                                                  {65, 700, 200},
                                                                                  {70, 81, 1100}}) {
    CheckAll<float>(gemm_, m, n, k);
    CheckAll<double>(gemm_, m, n, k);
  }
}

TEST_P(GemmTest, EmptyExtentsAreLegal) {
  CheckAll<float>(gemm_, 0, 5, 3);
  CheckAll<float>(gemm_, 5, 0, 3);
  CheckAll<double>(gemm_, 5, 37, 0);  // only beta * C and the bias are left
}

TEST_P(GemmTest, BitsDoNotDependOnThreads) {
  Problem<float> p(129, 203, 800, false, true, 0);
  std::vector<float> here(p.c.size()), serial(p.c.size());
  p.Point(here);
  gemm_.Gemm(DType::kFloat32, p.args);
  SetThreads(1);
  p.Point(serial);
  gemm_.Gemm(DType::kFloat32, p.args);
  EXPECT_EQ(here, serial);
}

// A product whose A has the share `zeros` of zeros, some of them -0.
template <typename T>
Problem<T> WithZeros(int64_t m, int64_t n, int64_t k, bool trans_a, bool trans_b, double zeros) {
  Problem<T> p(m, n, k, trans_a, trans_b, 3);
  std::mt19937 engine(5);
  std::uniform_real_distribution<double> uniform(0, 1);
  for (T& v : p.a) {
    if (uniform(engine) < zeros) v = v < 0 ? T{-0.0} : T{0};
  }
  return p;
}

template <typename T>
gemm::Product<T> AsProduct(const Problem<T>& p) {
  const GemmArgs& g = p.args;
  return {g.m,
          g.n,
          g.k,
          p.a.data(),
          g.trans_a ? 1 : g.lda,
          g.trans_a ? g.lda : 1,
          p.b.data(),
          g.trans_b ? 1 : g.ldb,
          g.trans_b ? g.ldb : 1,
          nullptr,
          g.ldc,
          1,
          false,
          nullptr,
          nullptr,
          false};
}

// Row by row: too little work each for zeros to be left out.
template <typename T>
std::vector<T> RowByRow(CpuGemm& gemm, Problem<T>& p) {
  std::vector<T> out = p.c;
  p.Point(out);
  GemmArgs row = p.args;
  row.m = 1;
  for (int64_t i = 0; i < p.args.m; ++i) {
    row.a = p.a.data() + i * (row.trans_a ? 1 : row.lda);
    row.c = out.data() + i * row.ldc;
    gemm.Gemm(DTypeOf<T>(), row);
  }
  return out;
}

template <typename T>
std::vector<T> Whole(CpuGemm& gemm, Problem<T>& p) {
  std::vector<T> out = p.c;
  p.Point(out);
  gemm.Gemm(DTypeOf<T>(), p.args);
  return out;
}

template <typename T>
void ExpectSameBits(const std::vector<T>& found, const std::vector<T>& wanted) {
  ASSERT_EQ(found.size(), wanted.size());
  for (size_t i = 0; i < found.size(); ++i) {
    if (std::isnan(wanted[i])) {
      ASSERT_TRUE(std::isnan(found[i])) << i;
    } else {
      ASSERT_EQ(0, std::memcmp(&found[i], &wanted[i], sizeof(T)))
          << i << ": " << found[i] << " against " << wanted[i];
    }
  }
}

using Extents = std::tuple<int64_t, int64_t, int64_t>;

// Rows and steps beyond what is listed at once, tails of strips, one and several passes over k.
const std::vector<Extents> kManyZerosExtents = {
    {65, 233, 521}, {131, 105, 513}, {601, 97, 64}, {37, 219, 577}, {530, 111, 300}};

template <typename T>
void CheckSkippedZeros(CpuGemm& gemm) {
  for (const auto& [m, n, k] : kManyZerosExtents) {
    for (const bool trans_a : {false, true}) {
      for (const bool trans_b : {false, true}) {
        auto p = WithZeros<T>(m, n, k, trans_a, trans_b, 0.7);
        ExpectSameBits(Whole(gemm, p), RowByRow(gemm, p));
        p.args.beta = 1;
        p.args.bias = p.bias.data();
        p.args.activation = Activation::kRelu;
        ExpectSameBits(Whole(gemm, p), RowByRow(gemm, p));
      }
    }
  }
}

TEST_P(GemmTest, LeavingOutZerosKeepsTheBits) {
  CheckSkippedZeros<float>(gemm_);
  CheckSkippedZeros<double>(gemm_);
}

TEST_P(GemmTest, LeavingOutZerosKeepsNanAndInfinity) {
  auto p = WithZeros<float>(70, 300, 600, false, true, 0.9);
  p.b[static_cast<size_t>(3 * p.args.ldb + 5)] = NAN;
  p.b[static_cast<size_t>(120 * p.args.ldb + 599)] = INFINITY;
  p.b[static_cast<size_t>(299 * p.args.ldb + 130)] = -INFINITY;
  const auto found = Whole(gemm_, p);
  ExpectSameBits(found, RowByRow(gemm_, p));
  EXPECT_TRUE(std::isnan(found[3]));
}

TEST_P(GemmTest, LeavingOutZerosKeepsNanAndTheSmallestOfTheSparseOperand) {
  for (const bool trans_a : {false, true}) {
    auto p = WithZeros<float>(70, 300, 599, trans_a, true, 0.9);
    for (size_t i = 0; i < p.a.size(); i += 37) p.a[i] = i % 2 == 0 ? 1e-45F : -1e-45F;
    for (float& v : p.b) v *= 1e10F;  // so that the smallest do not vanish
    p.a[5] = NAN;
    p.a[p.a.size() - 3] = -INFINITY;
    ExpectSameBits(Whole(gemm_, p), RowByRow(gemm_, p));
  }
}

TEST_P(GemmTest, LeavingOutZerosKeepsSignsOfZero) {
  auto p = WithZeros<float>(70, 300, 600, false, false, 0.9);
  for (float& v : p.a) v *= 1e-30F;  // every product underflows, half of them to -0
  for (float& v : p.b) v *= 1e-30F;
  ExpectSameBits(Whole(gemm_, p), RowByRow(gemm_, p));
}

// Every instruction set here on three threads, the best one on fewer, too.
std::vector<std::tuple<Isa, int>> IsasAndThreads() {
  std::vector<std::tuple<Isa, int>> all;
  for (const Isa isa : SupportedIsas()) all.emplace_back(isa, 3);
  for (const int threads : {1, 2}) all.emplace_back(BestIsa(), threads);
  return all;
}

INSTANTIATE_TEST_SUITE_P(Threads, GemmTest, ::testing::ValuesIn(IsasAndThreads()),
                         [](const auto& info) {
                           return std::string(TableOf(std::get<Isa>(info.param)).name) + "_" +
                                  std::to_string(std::get<int>(info.param));
                         });

template <typename T>
void CheckWhatIsSkipped(bool (*skips)(const gemm::Product<T>&)) {
  for (const auto& [m, n, k] : kManyZerosExtents) {
    EXPECT_TRUE(skips(AsProduct(WithZeros<T>(m, n, k, false, false, 0.7)))) << m << " " << n;
    EXPECT_TRUE(skips(AsProduct(WithZeros<T>(m, n, k, true, false, 0.7)))) << m << " " << n;
    EXPECT_FALSE(skips(AsProduct(WithZeros<T>(m, n, k, false, false, 0.0)))) << m << " " << n;
    EXPECT_FALSE(skips(AsProduct(WithZeros<T>(1, n, k, false, false, 0.7)))) << m << " " << n;
  }
}

TEST(GemmProduct, ManyZerosOfALargeProductAreLeftOut) {
  for (const gemm::Table* table : {&baseline::kGemmTable, &gemm::TableOf(BestIsa())}) {
    CheckWhatIsSkipped<float>(table->skips_zeros_f32);
    CheckWhatIsSkipped<double>(table->skips_zeros_f64);
  }
}

TEST(GemmProduct, EveryInstructionSetHereTakesAnyStrides) {
  for (const gemm::Table* table : {&baseline::kGemmTable, &gemm::TableOf(BestIsa())}) {
    const int64_t m = 29, n = 41, k = 77;
    const auto a = RandomValues<float>(m * k, 1), b = RandomValues<float>(k * n, 2);
    const auto bias = RandomValues<float>(m, 3);
    std::vector<float> c(static_cast<size_t>(m * n));
    // C is stored transposed and the bias runs along m.
    table->product_f32({m, n, k, a.data(), 1, m, b.data(), 1, k, c.data(), 1, m, false, bias.data(),
                        nullptr, false});
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        double sum = bias[static_cast<size_t>(i)];
        for (int64_t s = 0; s < k; ++s) {
          sum += static_cast<double>(a[static_cast<size_t>(s * m + i)]) *
                 b[static_cast<size_t>(j * k + s)];
        }
        ASSERT_NEAR(c[static_cast<size_t>(j * m + i)], sum, 1e-4);
      }
    }
  }
}

TEST(GemmArguments, ReluKeepsNan) {
  const float a = NAN, b = 1;
  float c = 0;
  GemmArgs args;
  args.m = args.n = args.k = args.lda = args.ldb = args.ldc = 1;
  args.a = &a;
  args.b = &b;
  args.c = &c;
  args.activation = Activation::kRelu;
  CpuGemm().Gemm(DType::kFloat32, args);
  EXPECT_TRUE(std::isnan(c));
}

TEST(GemmArguments, OutsideTheContractThrow) {
  GemmArgs args;
  EXPECT_THROW(CpuGemm().Gemm(DType::kInt32, args), ShapeError);
  args.beta = 0.5;
  EXPECT_THROW(CpuGemm().Gemm(DType::kFloat32, args), ShapeError);
  args.beta = 0;
  args.activation = Activation::kTanh;
  EXPECT_THROW(CpuGemm().Gemm(DType::kFloat32, args), ShapeError);
}

}  // namespace
}  // namespace lockstep::cpu
