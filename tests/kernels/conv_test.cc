// CpuConv, every algorithm and pass, against the definition written out in double: odd shapes,
// strides, pads, dilations, groups, layouts and thread counts.
#include "kernels/cpu/conv/conv.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "kernels/cpu/parallel.h"
#include "kernels/error.h"

namespace lockstep::cpu {
namespace {

struct FreeDeleter {
  void operator()(void* p) const { std::free(p); }
};
using Memory = std::unique_ptr<void, FreeDeleter>;

Memory Allocate(size_t bytes) { return Memory(std::aligned_alloc(64, (bytes + 64) / 64 * 64)); }

// Values in double, plain order; the kernels see them in their dtype and layout.
using Values = std::vector<double>;

Values RandomValues(int64_t size, uint32_t seed) {
  std::mt19937 engine(seed);
  std::uniform_real_distribution<double> uniform(-1, 1);
  Values values(static_cast<size_t>(size));
  for (double& v : values) v = static_cast<float>(uniform(engine));
  return values;
}

// The element of a layout that plain element `i` of (n, c, hw) is.
int64_t InLayout(int64_t i, int64_t c, int64_t hw, int64_t block) {
  const int64_t n = i / (c * hw), channel = i / hw % c, pixel = i % hw;
  return ((n * (c / block) + channel / block) * hw + pixel) * block + channel % block;
}

template <typename T>
Memory ToLayout(const Values& plain, int64_t c, int64_t hw, int64_t block) {
  Memory memory = Allocate(plain.size() * sizeof(T));
  for (size_t i = 0; i < plain.size(); ++i) {
    static_cast<T*>(memory.get())[InLayout(static_cast<int64_t>(i), c, hw, block)] =
        static_cast<T>(plain[i]);
  }
  return memory;
}

template <typename T>
Values FromLayout(const void* data, size_t size, int64_t c, int64_t hw, int64_t block) {
  Values plain(size);
  for (size_t i = 0; i < size; ++i) {
    plain[i] = static_cast<const T*>(data)[InLayout(static_cast<int64_t>(i), c, hw, block)];
  }
  return plain;
}

// The definition: visit(x index, w index, y index) for every product.
template <typename Visit>
void ForEachProduct(const ConvShape& s, Visit&& visit) {
  const int64_t cg = s.c / s.groups, kg = s.k / s.groups, oh = s.out_h(), ow = s.out_w();
  for (int64_t y = 0; y < s.n * s.k * oh * ow; ++y) {
    const int64_t n = y / (s.k * oh * ow), k = y / (oh * ow) % s.k;
    for (int64_t tap = 0; tap < cg * s.kh * s.kw; ++tap) {
      const int64_t c = k / kg * cg + tap / (s.kh * s.kw);
      const int64_t h = y / ow % oh * s.stride_h - s.pad_h + tap / s.kw % s.kh * s.dilation_h;
      const int64_t w = y % ow * s.stride_w - s.pad_w + tap % s.kw * s.dilation_w;
      if (h < 0 || h >= s.h || w < 0 || w >= s.w) continue;
      visit(static_cast<size_t>(((n * s.c + c) * s.h + h) * s.w + w),
            static_cast<size_t>(k * cg * s.kh * s.kw + tap), static_cast<size_t>(y));
    }
  }
}

struct Case {
  ConvShape s;
  Values x, w, y, bias;

  explicit Case(const ConvShape& shape)
      : s(shape),
        x(RandomValues(s.n * s.c * s.h * s.w, 1)),
        w(RandomValues(s.k * (s.c / s.groups) * s.kh * s.kw, 2)),
        y(RandomValues(s.n * s.k * s.out_h() * s.out_w(), 3)),
        bias(RandomValues(s.k, 4)) {}

  Values Forward(bool with_bias, bool relu) const {
    Values out(y.size());
    const int64_t pixels = s.out_h() * s.out_w();
    for (size_t i = 0; with_bias && i < out.size(); ++i) {
      out[i] = bias[static_cast<size_t>(static_cast<int64_t>(i) / pixels % s.k)];
    }
    ForEachProduct(s, [&](size_t xi, size_t wi, size_t yi) { out[yi] += x[xi] * w[wi]; });
    for (double& v : out) v = relu && v < 0 ? 0 : v;
    return out;
  }
  Values BackwardData() const {
    Values out(x.size());
    ForEachProduct(s, [&](size_t xi, size_t wi, size_t yi) { out[xi] += y[yi] * w[wi]; });
    return out;
  }
  Values BackwardWeights() const {
    Values out(w.size());
    ForEachProduct(s, [&](size_t xi, size_t wi, size_t yi) { out[wi] += x[xi] * y[yi]; });
    return out;
  }
};

double Largest(const Values& values) {
  double largest = 1;
  for (const double v : values) largest = std::max(largest, std::abs(v));
  return largest;
}

// One kernel's answer in plain order. Outputs and scratch start as NaN.
template <typename T>
class Runner {
 public:
  Runner(const Case& c, ConvPass pass, const std::string& algorithm, Layout x, Layout y)
      : case_(c), pass_(pass), x_layout_(x), y_layout_(y) {
    const ConvShape& s = c.s;
    x_ = ToLayout<T>(c.x, s.c, s.h * s.w, x.block);
    y_ = ToLayout<T>(c.y, s.k, s.out_h() * s.out_w(), y.block);
    w_ = ToLayout<T>(c.w, 1, 1, 1);
    bias_ = ToLayout<T>(c.bias, 1, 1, 1);
    dw_ = Allocate(c.w.size() * sizeof(T));
    kernel_ = CpuConv(&gemm_).Make(s, pass, algorithm, x, y);
    scratch_ = Allocate(kernel_->scratch_bytes());
    Poison(scratch_.get(), kernel_->scratch_bytes() / sizeof(T));
    if (pass == ConvPass::kForward) Poison(y_.get(), c.y.size());
    if (pass == ConvPass::kBackwardData) Poison(x_.get(), c.x.size());
    Poison(dw_.get(), c.w.size());
    if (pass != ConvPass::kBackwardWeights && kernel_->prepared_bytes() > 0) {
      prepared_ = Allocate(kernel_->prepared_bytes());
      kernel_->PrepareWeights(w_.get(), prepared_.get());
    }
  }

  Values Run(bool with_bias, bool relu) {
    ConvBuffers b;
    b.x = x_.get();
    b.y = y_.get();
    b.weights = prepared_ ? prepared_.get() : w_.get();
    b.dw = dw_.get();
    b.bias = with_bias ? bias_.get() : nullptr;
    b.activation = relu ? Activation::kRelu : Activation::kIdentity;
    b.scratch = scratch_.get();
    kernel_->Run(b);
    const ConvShape& s = case_.s;
    if (pass_ == ConvPass::kForward) {
      return FromLayout<T>(y_.get(), case_.y.size(), s.k, s.out_h() * s.out_w(), y_layout_.block);
    }
    if (pass_ == ConvPass::kBackwardData) {
      return FromLayout<T>(x_.get(), case_.x.size(), s.c, s.h * s.w, x_layout_.block);
    }
    return FromLayout<T>(dw_.get(), case_.w.size(), 1, 1, 1);
  }

 private:
  static void Poison(void* data, size_t size) {
    std::fill_n(static_cast<T*>(data), size, static_cast<T>(NAN));
  }

  const Case& case_;
  const ConvPass pass_;
  const Layout x_layout_, y_layout_;
  const CpuGemm gemm_;
  std::unique_ptr<ConvKernel> kernel_;
  Memory x_, y_, w_, bias_, dw_, scratch_, prepared_;
};

void ExpectNear(const Values& found, const Values& wanted, double tolerance,
                const std::string& what) {
  ASSERT_EQ(found.size(), wanted.size());
  const double bound = tolerance * Largest(wanted);
  for (size_t i = 0; i < wanted.size(); ++i) {
    ASSERT_LE(std::abs(found[i] - wanted[i]), bound)
        << what << ", element " << i << ": found " << found[i] << ", wanted " << wanted[i];
    ASSERT_FALSE(std::isnan(found[i])) << what << ", element " << i;
  }
}

std::string Text(const ConvShape& s) {
  std::string text;
  for (const int64_t v : {s.n, s.c, s.h, s.w, s.k, s.kh, s.kw, s.stride_h, s.stride_w, s.pad_h,
                          s.pad_w, s.dilation_h, s.dilation_w, s.groups}) {
    text += std::to_string(v) + " ";
  }
  return text;
}

std::set<int64_t> Blocks(int64_t c) {
  std::set<int64_t> blocks{1, c};
  for (const int64_t block : {3, 8, 16}) {
    if (c % block == 0) blocks.insert(block);
  }
  return blocks;
}

template <typename T>
void CheckPass(const Case& c, ConvPass pass, const std::string& algorithm, Layout x, Layout y,
               const Values& plain, const Values& with_bias, const Values& with_relu) {
  const double tolerance = sizeof(T) == 8                                   ? 1e-12
                           : algorithm.find("inograd") != std::string::npos ? 1e-4
                                                                            : 1e-5;
  const std::string what = algorithm + " pass " + std::to_string(static_cast<int>(pass)) + " x " +
                           std::to_string(x.block) + " y " + std::to_string(y.block) + " of " +
                           Text(c.s) + "threads " + std::to_string(GetThreads());
  Runner<T> runner(c, pass, algorithm, x, y);
  ExpectNear(runner.Run(false, false), plain, tolerance, what);
  if (pass != ConvPass::kForward) return;
  ExpectNear(runner.Run(true, false), with_bias, tolerance, what + " bias");
  ExpectNear(runner.Run(true, true), with_relu, tolerance, what + " bias relu");
}

template <typename T>
void CheckShape(ConvShape s) {
  s.dtype = DTypeOf<T>();
  const Case c(s);
  const CpuGemm gemm;
  const CpuConv conv(&gemm);
  const Values with_bias = c.Forward(true, false), with_relu = c.Forward(true, true);
  for (const ConvPass pass :
       {ConvPass::kForward, ConvPass::kBackwardData, ConvPass::kBackwardWeights}) {
    const Values wanted = pass == ConvPass::kForward        ? c.Forward(false, false)
                          : pass == ConvPass::kBackwardData ? c.BackwardData()
                                                            : c.BackwardWeights();
    for (const int64_t x : Blocks(s.c)) {
      for (const int64_t y : Blocks(s.k)) {
        const auto offered = conv.Algorithms(s, pass, {x}, {y}, false);
        std::set<std::string> names(offered.begin(), offered.end());
        names.insert("im2col_gemm");  // runs everything, offered or not
        for (const std::string& name : names) {
          CheckPass<T>(c, pass, name, {x}, {y}, wanted, with_bias, with_relu);
          if (::testing::Test::HasFatalFailure()) return;
        }
      }
    }
  }
}

// n, c, h, w, k, kh, kw, stride, pad, dilation, groups
const ConvShape kShapes[] = {
    {1, 1, 1, 1, 1},
    {2, 3, 7, 5, 4, 3, 3, 1, 1, 1, 1},
    {3, 3, 9, 11, 16, 3, 3, 1, 1, 1, 1},
    {2, 5, 8, 6, 7, 2, 3, 2, 1, 0, 2},
    {2, 6, 9, 10, 9, 3, 2, 2, 3, 2, 1, 2, 1, 3},
    {1, 4, 12, 13, 6, 3, 3, 1, 2, 2, 3, 2, 3, 2},
    {3, 16, 5, 7, 24, 1, 1, 1, 1, 0, 0},
    {2, 8, 6, 6, 16, 1, 1, 2, 2, 0, 0},
    {5, 16, 2, 2, 32, 3, 3, 1, 1, 1, 1},
    {2, 24, 9, 8, 16, 3, 3, 1, 1, 1, 1},
    {1, 16, 8, 8, 16, 5, 5, 1, 1, 2, 2},
    {2, 16, 7, 9, 16, 3, 3, 1, 1, 1, 1, 1, 1, 16},
    {2, 32, 6, 5, 16, 3, 3, 1, 1, 1, 1, 1, 1, 2},
    {3, 1, 28, 28, 20, 5, 5},
    {2, 20, 12, 12, 50, 5, 5},
    {3, 25, 9, 10, 6, 3, 4, 2, 3, 1, 2},  // odd channels
    {1, 2, 40, 37, 3, 7, 7, 2, 2, 3, 3},
    {1, 3, 3, 4, 2, 3, 3, 1, 1, 4, 5},  // outputs that read padding only
};

class ConvTest : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override { SetThreads(GetParam()); }
  void TearDown() override { SetThreads(1); }
};

TEST_P(ConvTest, EveryFloat32AlgorithmEqualsTheDefinition) {
  for (const ConvShape& s : kShapes) CheckShape<float>(s);
}

TEST_P(ConvTest, EveryFloat64AlgorithmEqualsTheDefinition) {
  for (const ConvShape& s : kShapes) CheckShape<double>(s);
}

// Where the definition has a NaN, so has every algorithm; Winograd's may spread over a tile.
template <typename T>
void CheckNaN(ConvShape s) {
  s.dtype = DTypeOf<T>();
  Case c(s);
  c.x[c.x.size() / 2] = NAN;
  c.bias.back() = NAN;
  const Values wanted = c.Forward(true, true);
  const CpuGemm gemm;
  for (const int64_t x : Blocks(s.c)) {
    for (const int64_t y : Blocks(s.k)) {
      auto names = CpuConv(&gemm).Algorithms(s, ConvPass::kForward, {x}, {y}, false);
      names.emplace_back("im2col_gemm");
      for (const std::string& name : names) {
        const Values found = Runner<T>(c, ConvPass::kForward, name, {x}, {y}).Run(true, true);
        for (size_t i = 0; i < wanted.size(); ++i) {
          ASSERT_TRUE(!std::isnan(wanted[i]) || std::isnan(found[i]))
              << name << " x " << x << " y " << y << " of " << Text(s) << "element " << i;
        }
      }
    }
  }
}

TEST(ConvRelu, LetsNaNPass) {
  for (const ConvShape& s : kShapes) {
    CheckNaN<float>(s);
    CheckNaN<double>(s);
  }
}

INSTANTIATE_TEST_SUITE_P(Threads, ConvTest, ::testing::Values(1, 2, 3),
                         [](const auto& info) { return std::to_string(info.param); });

TEST(ConvIm2col, BitsDoNotDependOnThreads) {
  const Case c({9, 5, 11, 13, 7, 3, 3, 1, 1, 1, 1});
  for (const ConvPass pass :
       {ConvPass::kForward, ConvPass::kBackwardData, ConvPass::kBackwardWeights}) {
    SetThreads(1);
    const Values serial = Runner<float>(c, pass, "im2col_gemm", {1}, {7}).Run(false, false);
    SetThreads(3);
    EXPECT_EQ(Runner<float>(c, pass, "im2col_gemm", {1}, {7}).Run(false, false), serial);
  }
  SetThreads(1);
}

TEST(ConvChoice, ExactHasNoWinograd) {
  const ConvShape s{2, 16, 8, 8, 16, 3, 3, 1, 1, 1, 1};
  const CpuGemm gemm;
  for (const std::string& name : CpuConv(&gemm).Algorithms(s, ConvPass::kForward, {8}, {8}, true)) {
    EXPECT_EQ(name.find("winograd"), std::string::npos) << name;
    EXPECT_EQ(name.find("toeplitz"), std::string::npos) << name;
  }
}

TEST(ConvChoice, ReferenceIsAlwaysTheLast) {
  const CpuGemm gemm;
  const ConvShape s{2, 16, 8, 8, 20, 3, 3, 2, 2, 1, 1};
  for (const int64_t x : Blocks(s.c)) {
    for (const int64_t y : Blocks(s.k)) {
      const auto names = CpuConv(&gemm).Algorithms(s, ConvPass::kForward, {x}, {y}, false);
      EXPECT_GE(names.size(), 2U);
      EXPECT_EQ(names.back(), "reference");
    }
  }
}

TEST(ConvChoice, LayoutsDivideTheChannels) {
  const CpuGemm gemm;
  for (const DType dtype : {DType::kFloat32, DType::kFloat64}) {
    for (const int64_t c : {1, 3, 8, 10, 16, 24, 64}) {
      const std::vector<Layout> layouts = CpuConv(&gemm).Layouts(c, dtype);
      ASSERT_FALSE(layouts.empty()) << c;
      for (const Layout layout : layouts) EXPECT_EQ(c % layout.block, 0) << c;
    }
  }
}

TEST(ConvShapes, ThatDoNotFitThrow) {
  const CpuGemm gemm;
  const CpuConv conv(&gemm);
  const auto algorithms = [&](const ConvShape& s, Layout x) {
    return conv.Algorithms(s, ConvPass::kForward, x, {1}, false);
  };
  EXPECT_THROW(algorithms({1, 3, 2, 2, 4, 3, 3}, {1}), ShapeError);  // filter too large
  EXPECT_THROW(algorithms({1, 3, 8, 8, 4, 3, 3, 1, 1, 0, 0, 1, 1, 2}, {1}), ShapeError);
  EXPECT_THROW(algorithms({0, 3, 8, 8, 4, 3, 3}, {1}), ShapeError);
  EXPECT_THROW(algorithms({1, 3, 8, 8, 4, 3, 3, 0}, {1}), ShapeError);
  EXPECT_THROW(algorithms({1, 3, 8, 8, 4, 3, 3}, {2}), ShapeError);
}

}  // namespace
}  // namespace lockstep::cpu
