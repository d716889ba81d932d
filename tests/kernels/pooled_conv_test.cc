// Convolutions with max pooling behind them against the two one after the other. Of small whole
// numbers every sum is exact, whatever its order, and windows often have several maxima.
#include "kernels/pooled_conv.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cpu/conv/pooled_conv.h"
#include "tests/kernels/kernel_test.h"

namespace lockstep {
namespace {

using test::At;
using test::Numbers;
using Floats = std::vector<float>;

struct FreeDeleter {
  void operator()(void* p) const { std::free(p); }
};
using Memory = std::unique_ptr<void, FreeDeleter>;

Memory Scratch(size_t bytes) {
  Memory memory(std::aligned_alloc(64, (bytes + 127) / 64 * 64));
  // What was there before must not matter.
  std::fill_n(static_cast<float*>(memory.get()), bytes / sizeof(float),
              std::numeric_limits<float>::quiet_NaN());
  return memory;
}

Floats Whole(int64_t size, uint64_t seed, int64_t largest) {
  Floats numbers =
      Numbers<float>(size, seed, static_cast<double>(-largest), static_cast<double>(largest) + 1);
  for (float& v : numbers) v = std::floor(v);
  return numbers;
}

// LeNet's first layer; padding, also more of it than picture; channels that fill vectors, and do
// not; rows of the filter that are longer than what is copied at once, whole copies and not; every
// number of vectors of taps, up to as many as there may be; one pooled pixel.
std::vector<ConvShape> Shapes() {
  return {{.n = 9, .c = 1, .h = 28, .w = 28, .k = 20, .kh = 5, .kw = 5},
          {.n = 3, .c = 3, .h = 10, .w = 14, .k = 13, .kh = 3, .kw = 3, .pad_h = 1, .pad_w = 1},
          {.n = 17, .c = 1, .h = 6, .w = 7, .k = 70, .kh = 1, .kw = 2},
          {.n = 1, .c = 1, .h = 2, .w = 2, .k = 3},
          {.n = 4, .c = 32, .h = 4, .w = 6, .k = 5},
          {.n = 11, .c = 1, .h = 7, .w = 37, .k = 33, .kh = 2, .kw = 8},
          {.n = 3, .c = 2, .h = 8, .w = 9, .k = 8, .kh = 1, .kw = 16, .pad_w = 4},
          {.n = 2, .c = 1, .h = 1, .w = 1, .k = 6, .kh = 2, .kw = 2, .pad_h = 1, .pad_w = 1},
          {.n = 3, .c = 1, .h = 1, .w = 1, .k = 6, .kh = 2, .kw = 2, .pad_h = 3, .pad_w = 3},
          {.n = 9, .c = 1, .h = 2, .w = 12, .k = 5, .kh = 1, .kw = 9},
          {.n = 2, .c = 1, .h = 4, .w = 24, .k = 7, .kh = 1, .kw = 23},
          {.n = 2, .c = 1, .h = 2, .w = 32, .k = 4, .kh = 1, .kw = 31},
          {.n = 1, .c = 1, .h = 2, .w = 29, .k = 9, .kh = 1, .kw = 32, .pad_w = 3},
          {.n = 3, .c = 2, .h = 5, .w = 4, .k = 11, .kh = 2, .kw = 3, .pad_h = 1, .pad_w = 1},
          {.n = 3, .c = 3, .h = 4, .w = 7, .k = 12, .kh = 1, .kw = 6},
          {.n = 3, .c = 1, .h = 3, .w = 4, .k = 5, .kh = 2, .kw = 3},
          {.n = 3, .c = 1, .h = 8, .w = 12, .k = 2, .kh = 7, .kw = 3},
          {.n = 2, .c = 3, .h = 32, .w = 32, .k = 64, .kh = 3, .kw = 3, .pad_h = 1, .pad_w = 1}};
}

std::string Name(const ConvShape& s, Layout y) {
  return std::to_string(s.n) + " x (" + std::to_string(s.c) + ", " + std::to_string(s.h) + ", " +
         std::to_string(s.w) + ") to " + std::to_string(s.k) + ", blocks of " +
         std::to_string(y.block);
}

PoolShape PoolOf(const ConvShape& s) {
  return {.x = {s.n, s.k, s.out_h(), s.out_w()},
          .out_h = s.out_h() / 2,
          .out_w = s.out_w() / 2,
          .kh = 2,
          .kw = 2,
          .stride_h = 2,
          .stride_w = 2,
          .layout = {}};
}

struct Problem {
  ConvShape shape;
  Floats x, weights, bias, dy;  // dy plain

  explicit Problem(const ConvShape& s)
      : shape(s),
        x(Whole(s.n * s.c * s.h * s.w, 1, 3)),
        weights(Whole(s.k * s.c * s.kh * s.kw, 2, 2)),
        bias(Whole(s.k, 3, 4)),
        dy(Whole(s.n * s.k * (s.out_h() / 2) * (s.out_w() / 2), 4, 5)) {}
};

struct Result {
  Floats y, dw;  // y plain
};

Result OneAfterTheOther(Backend& backend, const Problem& p, bool with_bias) {
  const ConvShape& s = p.shape;
  const auto run = [&](ConvPass pass, ConvBuffers buffers) {
    const auto kernel = backend.conv().Make(s, pass, "reference", {}, {});
    const Memory scratch = Scratch(kernel->scratch_bytes());
    buffers.scratch = scratch.get();
    kernel->Run(buffers);
  };
  const PoolShape pool = PoolOf(s);
  Result result{Floats(p.dy.size()), Floats(p.weights.size())};
  Floats x = p.x, full(static_cast<size_t>(test::Size(pool.x))), full_dy(full.size());
  run(ConvPass::kForward, {.x = x.data(),
                           .y = full.data(),
                           .weights = p.weights.data(),
                           .bias = with_bias ? p.bias.data() : nullptr});
  backend.pool().Forward(pool, full.data(), result.y.data());
  backend.pool().Backward(pool, full.data(), result.y.data(), p.dy.data(), full_dy.data());
  run(ConvPass::kBackwardWeights, {.x = x.data(), .y = full_dy.data(), .dw = result.dw.data()});
  return result;
}

Result Together(Backend& backend, const Problem& p, Layout layout, bool with_bias,
                bool with_argmax = true) {
  const PoolShape pool = PoolOf(p.shape);
  const PictureShape pooled{pool.x.n, pool.x.c, pool.out_h, pool.out_w};
  const auto kernel = backend.conv().MakePooled(p.shape, layout);
  const Memory scratch = Scratch(kernel->scratch_bytes());
  Floats y(p.dy.size()), dy(p.dy.size());
  Result result{Floats(p.dy.size()), Floats(p.weights.size())};
  std::vector<uint8_t> argmax(p.dy.size(), 200);
  kernel->Forward(p.x.data(), p.weights.data(), with_bias ? p.bias.data() : nullptr, y.data(),
                  with_argmax ? argmax.data() : nullptr, scratch.get());
  size_t i = 0;
  test::ForEach(pooled, [&](int64_t n, int64_t c, int64_t h, int64_t w) {
    const size_t at = At(pooled, layout, n, c, h, w);
    result.y[i] = y[at];
    dy[at] = p.dy[i++];
  });
  if (with_argmax) {
    const Memory other = Scratch(kernel->scratch_bytes());
    kernel->BackwardWeights(p.x.data(), dy.data(), argmax.data(), result.dw.data(), other.get());
  }
  return result;
}

class PooledConvTest : public testing::TestWithParam<int> {
 protected:
  const std::vector<std::shared_ptr<Backend>> backends_ = test::Backends(GetParam());
};

TEST_P(PooledConvTest, IsAConvolutionAndAPooling) {
  for (const auto& backend : backends_) {
    for (const ConvShape& shape : Shapes()) {
      ASSERT_TRUE(backend->conv().can_pool(shape));
      const Problem problem(shape);
      for (const bool with_bias : {true, false}) {
        const Result wanted = OneAfterTheOther(*backend, problem, with_bias);
        for (const Layout layout : test::Layouts(shape.k)) {
          const Result found = Together(*backend, problem, layout, with_bias);
          EXPECT_EQ(found.y, wanted.y) << Name(shape, layout) << " " << with_bias;
          EXPECT_EQ(found.dw, wanted.dw) << Name(shape, layout) << " " << with_bias;
        }
      }
    }
  }
}

TEST_P(PooledConvTest, WithoutPlacesMakesTheSame) {
  for (const auto& backend : backends_) {
    for (const ConvShape& shape : Shapes()) {
      const Problem problem(shape);
      for (const Layout layout : test::Layouts(shape.k)) {
        EXPECT_EQ(Together(*backend, problem, layout, true, false).y,
                  Together(*backend, problem, layout, true).y);
      }
    }
  }
}

// Bits of ordinary numbers do not depend on threads; sums are as exact as others of float32.
TEST_P(PooledConvTest, OrdinaryNumbersHaveOneResult) {
  const auto alone = test::Backends(1);
  for (size_t i = 0; i < backends_.size(); ++i) {
    for (const ConvShape& shape : Shapes()) {
      Problem problem(shape);
      problem.x = Numbers<float>(static_cast<int64_t>(problem.x.size()), 5);
      problem.weights = Numbers<float>(static_cast<int64_t>(problem.weights.size()), 6);
      const Result found = Together(*backends_[i], problem, {shape.k}, true);
      const Result wanted = Together(*alone[i], problem, {shape.k}, true);
      EXPECT_EQ(found.y, wanted.y);
      EXPECT_EQ(found.dw, wanted.dw);
      test::ExpectClose(found.y, OneAfterTheOther(*backends_[i], problem, true).y, 1e-5, "y");
    }
  }
}

// As max pooling takes it for a maximum.
TEST_P(PooledConvTest, NanIsAMaximum) {
  for (const auto& backend : backends_) {
    for (const ConvShape& shape : Shapes()) {
      Problem problem(shape);
      problem.x[problem.x.size() / 2] = std::numeric_limits<float>::quiet_NaN();
      const Result wanted = OneAfterTheOther(*backend, problem, true);
      const Result found = Together(*backend, problem, {shape.k}, true);
      int nans = 0;
      for (size_t i = 0; i < wanted.y.size(); ++i) {
        EXPECT_EQ(std::isnan(found.y[i]), std::isnan(wanted.y[i]));
        if (std::isnan(wanted.y[i])) {
          ++nans;
        } else {
          EXPECT_EQ(found.y[i], wanted.y[i]);
        }
      }
      EXPECT_GT(nans, 0);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Threads, PooledConvTest, testing::Values(1, 2, 3),
                         testing::PrintToStringParamName());

TEST(PooledConv, IsForFewTapsAndEvenPicturesOfFloat32) {
  const ConvShape good{.n = 2, .c = 1, .h = 12, .w = 12, .k = 4, .kh = 5, .kw = 5};
  EXPECT_TRUE(cpu::CanPoolConv(good));
  const auto changed = [&](auto change) {
    ConvShape shape = good;
    change(shape);
    return cpu::CanPoolConv(shape);
  };
  EXPECT_FALSE(changed([](ConvShape& s) { s.c = 2; }));
  EXPECT_FALSE(changed([](ConvShape& s) { s.h = 13; }));
  EXPECT_FALSE(changed([](ConvShape& s) { s.w = 13; }));
  EXPECT_FALSE(changed([](ConvShape& s) { s.stride_h = 2; }));
  EXPECT_FALSE(changed([](ConvShape& s) { s.stride_w = 3; }));
  EXPECT_FALSE(changed([](ConvShape& s) { s.dilation_w = 2, s.w = 16; }));
  EXPECT_FALSE(changed([](ConvShape& s) { s.dilation_h = 2, s.h = 16; }));
  EXPECT_FALSE(changed([](ConvShape& s) { s.c = 2, s.groups = 2, s.kh = 1; }));
  EXPECT_FALSE(changed([](ConvShape& s) { s.dtype = DType::kFloat64; }));
  EXPECT_FALSE(changed([](ConvShape& s) { s.dtype = DType::kBfloat16; }));
}

}  // namespace
}  // namespace lockstep
