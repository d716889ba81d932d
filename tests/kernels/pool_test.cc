#include "kernels/pool.h"

#include "tests/kernels/devices.h"

namespace lockstep::test {
namespace {

PictureShape OutShape(const PoolShape& s) { return {s.x.n, s.x.c, s.out_h, s.out_w}; }

// visit(offset of the output, offset of a pixel inside its window), windows in order, pixels in
// row-major order; y_at(offset, windows' pixels inside).
template <typename Visit>
void ForWindows(const PoolShape& s, const Visit& visit) {
  ForEach(OutShape(s), [&](int64_t n, int64_t c, int64_t oh, int64_t ow) {
    std::vector<size_t> inside;
    for (int64_t i = 0; i < s.kh; ++i) {
      for (int64_t j = 0; j < s.kw; ++j) {
        const int64_t h = oh * s.stride_h - s.pad_h + i, w = ow * s.stride_w - s.pad_w + j;
        if (h < 0 || w < 0 || h >= s.x.h || w >= s.x.w) continue;
        inside.push_back(At(s.x, s.layout, n, c, h, w));
      }
    }
    visit(At(OutShape(s), s.layout, n, c, oh, ow), inside);
  });
}

double Divisor(const PoolShape& s, size_t inside) {
  if (s.count_include_pad) return static_cast<double>(s.kh * s.kw);
  return static_cast<double>(std::max<size_t>(inside, 1));
}

template <typename T>
std::vector<double> Reference(const PoolShape& s, const std::vector<T>& x) {
  std::vector<double> y(static_cast<size_t>(Size(OutShape(s))));
  ForWindows(s, [&](size_t out, const std::vector<size_t>& inside) {
    double max = -INFINITY, sum = 0;
    for (const size_t i : inside) {
      max = std::max(max, static_cast<double>(x[i]));
      sum += static_cast<double>(x[i]);
    }
    y[out] = s.kind == PoolKind::kMax ? max : sum / Divisor(s, inside.size());
  });
  return y;
}

template <typename T>
std::vector<double> ReferenceGradient(const PoolShape& s, const std::vector<T>& x,
                                      const std::vector<T>& dy) {
  std::vector<double> dx(x.size());
  ForWindows(s, [&](size_t out, const std::vector<size_t>& inside) {
    if (inside.empty()) return;
    size_t best = inside[0];
    for (const size_t i : inside) {
      if (x[i] > x[best]) best = i;
      if (s.kind == PoolKind::kAverage) {
        dx[i] += static_cast<double>(dy[out]) / Divisor(s, inside.size());
      }
    }
    if (s.kind == PoolKind::kMax) dx[best] += static_cast<double>(dy[out]);
  });
  return dx;
}

template <typename T>
void Check(Backend& b, PoolShape s) {
  s.dtype = DTypeOf<T>();
  auto x = Numbers<T>(Size(s.x), 3);
  for (T& v : x) v = std::round(v * 8);  // many equal values: the first one must win
  const auto dy = Numbers<T>(Size(OutShape(s)), 4);
  std::vector<T> y(dy.size()), dx(x.size(), T(99));
  b.pool().Forward(s, x.data(), y.data());
  b.pool().Backward(s, x.data(), y.data(), dy.data(), dx.data());
  const std::string what = "block " + std::to_string(s.layout.block) + " kernel " +
                           std::to_string(s.kh) + "x" + std::to_string(s.kw);
  ExpectClose(y, Reference(s, x), 1e-6, what);
  ExpectClose(dx, ReferenceGradient(s, x, dy), 1e-6, what);
}

PoolShape Make(PictureShape x, int64_t k, int64_t stride, int64_t pad, bool cover_all) {
  PoolShape s;
  s.x = x;
  s.kh = s.kw = k;
  s.stride_h = s.stride_w = stride;
  s.pad_h = s.pad_w = pad;
  s.out_h = PoolShape::Out(x.h, k, stride, pad, cover_all);
  s.out_w = PoolShape::Out(x.w, k, stride, pad, cover_all);
  return s;
}

std::vector<PoolShape> Shapes() {
  std::vector<PoolShape> shapes;
  for (const PictureShape& x : {PictureShape{2, 16, 8, 8}, PictureShape{3, 6, 5, 7},
                                PictureShape{1, 20, 7, 7}, PictureShape{2, 3, 9, 32}}) {
    for (const bool cover_all : {false, true}) {
      shapes.push_back(Make(x, 2, 2, 0, cover_all));
      shapes.push_back(Make(x, 3, 2, 1, cover_all));
      shapes.push_back(Make(x, 3, 1, 1, cover_all));
      shapes.push_back(Make(x, 2, 3, 0, cover_all));
      shapes.push_back(Make(x, 1, 1, 0, cover_all));
    }
    PoolShape oblong = Make(x, 2, 2, 0, true);
    oblong.kw = oblong.stride_w = 3;
    oblong.out_w = PoolShape::Out(x.w, 3, 3, 0, true);
    shapes.push_back(oblong);
    PoolShape global = Make(x, x.h, 1, 0, false);
    global.kw = x.w;
    global.out_w = 1;
    shapes.push_back(global);
  }
  return shapes;
}

class PoolTest : public testing::TestWithParam<PoolKind> {};

TEST_P(PoolTest, EqualsTheDefinitionForEveryWindowAndLayout) {
  for (const auto& b : Devices()) {
    for (PoolShape s : Shapes()) {
      for (const Layout l : Layouts(s.x.c)) {
        for (const bool include_pad : {true, false}) {
          s.layout = l;
          s.kind = GetParam();
          s.count_include_pad = include_pad;
          Check<float>(*b, s);
          Check<double>(*b, s);
        }
      }
    }
  }
}

TEST_P(PoolTest, GradientIsTheCentralDifference) {
  PoolShape s = Make({1, 2, 6, 5}, 3, 2, 1, true);
  s.dtype = DType::kFloat64;
  s.kind = GetParam();
  auto x = Numbers<double>(Size(s.x), 3);
  const auto dy = Numbers<double>(Size(OutShape(s)), 4);
  std::vector<double> y(dy.size()), dx(x.size());
  const auto b = BestBackend();
  b->pool().Forward(s, x.data(), y.data());
  b->pool().Backward(s, x.data(), y.data(), dy.data(), dx.data());
  for (size_t i = 0; i < x.size(); ++i) {
    double slope = 0;
    for (const double h : {1e-6, -1e-6}) {
      auto moved = x;
      moved[i] += h;
      const auto z = Reference(s, moved);
      for (size_t j = 0; j < z.size(); ++j) slope += z[j] * dy[j] / (2 * h);
    }
    ASSERT_NEAR(dx[i], slope, 1e-8);
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, PoolTest, testing::Values(PoolKind::kMax, PoolKind::kAverage),
                         [](const auto& info) {
                           return std::string(info.param == PoolKind::kMax ? "Max" : "Average");
                         });

TEST(MaxPool, NaNWinsAndTakesTheGradient) {
  for (const auto& b : Devices()) {
    for (const Layout l : Layouts(16)) {
      PoolShape s = Make({1, 16, 4, 4}, 2, 2, 0, false);
      s.layout = l;
      auto x = Numbers<float>(Size(s.x), 3);
      const size_t bad = At(s.x, l, 0, 5, 1, 2);
      x[bad] = NAN;
      std::vector<float> y(64), dx(x.size());
      const std::vector<float> dy(64, 1.0F);
      b->pool().Forward(s, x.data(), y.data());
      b->pool().Backward(s, x.data(), y.data(), dy.data(), dx.data());
      EXPECT_TRUE(std::isnan(y[At(OutShape(s), l, 0, 5, 0, 1)]));
      EXPECT_EQ(dx[bad], 1.0F);
    }
  }
}

}  // namespace
}  // namespace lockstep::test
