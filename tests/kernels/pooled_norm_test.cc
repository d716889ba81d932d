// Batch normalisation, ReLU and max pooling in one walk do what they do one after the other.
#include "kernels/pooled_norm.h"

#include <utility>

#include "tests/kernels/devices.h"

namespace lockstep::test {
namespace {

PictureShape Halved(const PictureShape& p) { return {p.n, p.c, p.h / 2, p.w / 2}; }

template <typename T>
struct Data {
  std::vector<T> x, dy, gamma, beta;
  Data(const PictureShape& p, double low = -1.0, double high = 2.0)
      : x(Numbers<T>(Size(p), 1, low, high)),
        dy(Numbers<T>(Size(Halved(p)), 2)),
        gamma(Numbers<T>(p.c, 3, -1.5, 1.5)),
        beta(Numbers<T>(p.c, 4)) {
    // Nothing of x is left of these.
    for (size_t c = 2; c < gamma.size(); c += 7) gamma[c] = 0;
  }
};

template <typename T>
struct Results {
  std::vector<T> y, dx;
  std::vector<double> sum_dz, sum_dz_xhat;
};

struct Statistics {
  std::vector<double> mean, inv_std;
};

template <typename T>
Statistics StatisticsOf(Backend& b, const BatchNormShape& s, const std::vector<T>& x) {
  Statistics k;
  k.mean.resize(static_cast<size_t>(s.picture.c));
  k.inv_std = k.mean;
  b.norm().Moments(s, x.data(), k.mean.data(), k.inv_std.data());
  const double m = static_cast<double>(s.picture.n * s.picture.h * s.picture.w);
  for (double& v : k.inv_std) v = 1 / std::sqrt(v / m + 2e-5);
  return k;
}

// One after the other.
template <typename T>
Results<T> Apart(Backend& b, const BatchNormShape& s, const Data<T>& d, const Statistics& k) {
  const PictureShape half = Halved(s.picture);
  const size_t channels = d.gamma.size();
  Results<T> r{std::vector<T>(d.dy.size()), std::vector<T>(d.x.size()),
               std::vector<double>(channels), std::vector<double>(channels)};
  const PoolShape pool{.x = s.picture,
                       .out_h = half.h,
                       .out_w = half.w,
                       .kh = 2,
                       .kw = 2,
                       .stride_h = 2,
                       .stride_w = 2,
                       .layout = s.layout,
                       .dtype = s.dtype};
  std::vector<T> activated(d.x.size()), gradient(d.x.size());
  NormKernels& norm = b.norm();
  norm.Normalize(s, d.x.data(), k.mean.data(), k.inv_std.data(), d.gamma.data(), d.beta.data(),
                 activated.data());
  b.pool().Forward(pool, activated.data(), r.y.data());
  b.pool().Backward(pool, activated.data(), r.y.data(), d.dy.data(), gradient.data());
  norm.GradientSums(s, d.x.data(), activated.data(), gradient.data(), k.mean.data(),
                    k.inv_std.data(), r.sum_dz.data(), r.sum_dz_xhat.data());
  const double m = static_cast<double>(s.picture.n * s.picture.h * s.picture.w);
  norm.GradientApply(s, d.x.data(), activated.data(), gradient.data(), k.mean.data(),
                     k.inv_std.data(), d.gamma.data(), r.sum_dz.data(), r.sum_dz_xhat.data(), &m,
                     r.dx.data());
  return r;
}

template <typename T>
Results<T> Together(Backend& b, const BatchNormShape& s, const Data<T>& d, const Statistics& k) {
  const size_t channels = d.gamma.size();
  Results<T> r{std::vector<T>(d.dy.size(), T{99}), std::vector<T>(d.x.size(), T{99}),
               std::vector<double>(channels), std::vector<double>(channels)};
  PooledNormKernels& norm = *b.norm().pooled();
  norm.Normalize(s, d.x.data(), k.mean.data(), k.inv_std.data(), d.gamma.data(), d.beta.data(),
                 r.y.data());
  norm.GradientSums(s, d.x.data(), r.y.data(), d.dy.data(), k.mean.data(), k.inv_std.data(),
                    d.gamma.data(), r.sum_dz.data(), r.sum_dz_xhat.data());
  const double m = static_cast<double>(s.picture.n * s.picture.h * s.picture.w);
  norm.GradientApply(s, d.x.data(), r.y.data(), d.dy.data(), k.mean.data(), k.inv_std.data(),
                     d.gamma.data(), r.sum_dz.data(), r.sum_dz_xhat.data(), &m, r.dx.data());
  return r;
}

template <typename T>
void ExpectTheSame(Backend& b, const BatchNormShape& s, const Data<T>& d) {
  SCOPED_TRACE("block " + std::to_string(s.layout.block) + " of " + std::to_string(s.picture.c) +
               " channels");
  const Statistics k = StatisticsOf(b, s, d.x);
  const Results<T> wanted = Apart(b, s, d, k), found = Together(b, s, d, k);
  EXPECT_EQ(found.y, wanted.y);
  const double tolerance = sizeof(T) == 4 ? 2e-5 : 1e-12;
  const double terms = std::sqrt(static_cast<double>(d.dy.size() / d.gamma.size()));
  for (size_t c = 0; c < d.gamma.size(); ++c) {
    ASSERT_NEAR(found.sum_dz[c], wanted.sum_dz[c], tolerance * terms) << c;
    ASSERT_NEAR(found.sum_dz_xhat[c], wanted.sum_dz_xhat[c], tolerance * terms) << c;
  }
  for (size_t i = 0; i < d.x.size(); ++i) {
    ASSERT_NEAR(found.dx[i], wanted.dx[i], 5 * tolerance * (1 + std::abs(wanted.dx[i]))) << i;
  }
}

// Pictures of all widths that a run of channels may have, and of one window, one row or many.
const PictureShape kShapes[] = {{3, 16, 4, 6},  {5, 10, 2, 2},   {2, 48, 34, 30}, {7, 3, 32, 32},
                                {4, 600, 2, 2}, {3, 320, 2, 10}, {1, 6, 14, 2},   {9, 64, 8, 8}};

TEST(PooledNorm, IsNormReluAndPoolingOneAfterTheOther) {
  int devices = 0;
  for (const auto& b : Devices()) {
    if (b->norm().pooled() == nullptr) continue;
    ++devices;
    for (const PictureShape& p : kShapes) {
      for (const Layout l : Layouts(p.c)) {
        ExpectTheSame<float>(*b, {p, l, DType::kFloat32, Activation::kRelu, {}}, Data<float>(p));
        ExpectTheSame<double>(*b, {p, l, DType::kFloat64, Activation::kRelu, {}}, Data<double>(p));
      }
    }
  }
  EXPECT_GE(devices, 1);
}

// Of equal pixels the first gets all; far below zero nobody gets anything.
TEST(PooledNorm, TheFirstOfEqualPixelsGetsTheGradient) {
  for (const auto& b : Devices()) {
    if (b->norm().pooled() == nullptr) continue;
    const PictureShape p{4, 24, 6, 4};
    Data<double> d(p);
    for (double& v : d.x) v = std::round(v);
    for (size_t c = 0; c < d.beta.size(); c += 5) d.beta[c] = -100;
    for (const Layout l : Layouts(p.c)) {
      const BatchNormShape s{p, l, DType::kFloat64, Activation::kRelu, {}};
      ExpectTheSame<double>(*b, s, d);
      const Results<double> found = Together(*b, s, d, StatisticsOf(*b, s, d.x));
      for (size_t c = 0; c < d.beta.size(); c += 5) EXPECT_EQ(found.sum_dz[c], 0);
    }
  }
}

TEST(PooledNorm, WhatIsNoNumberStaysSo) {
  for (const auto& b : Devices()) {
    if (b->norm().pooled() == nullptr) continue;
    const PictureShape p{2, 17, 4, 4};
    for (const Layout l : Layouts(p.c)) {
      const BatchNormShape s{p, l, DType::kFloat32, Activation::kRelu, {}};
      Data<float> d(p);
      const Statistics k = StatisticsOf(*b, s, d.x);
      for (size_t pixel = 0; pixel < 4; ++pixel) {
        auto bad = d;
        const size_t at =
            At(p, l, 1, 16, static_cast<int64_t>(pixel / 2) + 2, static_cast<int64_t>(pixel % 2));
        bad.x[at] = std::numeric_limits<float>::quiet_NaN();
        const auto y = Together(*b, s, bad, k).y;
        const PictureShape half = Halved(p);
        EXPECT_TRUE(std::isnan(y[At(half, l, 1, 16, 1, 0)])) << pixel;
        EXPECT_EQ(std::count_if(y.begin(), y.end(), [](float v) { return std::isnan(v); }), 1);
      }
    }
  }
}

TEST(PooledNorm, BitsDoNotDependOnTheNumberOfThreads) {
  for (const PictureShape& p : {PictureShape{7, 48, 34, 30}, PictureShape{64, 512, 2, 2}}) {
    const Data<float> d(p);
    for (const Layout l : {Layout{1}, Layout{16}, Layout{p.c}}) {
      const BatchNormShape s{p, l, DType::kFloat32, Activation::kRelu, {}};
      const Statistics k = StatisticsOf(*BestBackend(1), s, d.x);
      const auto first = Together(*BestBackend(1), s, d, k);
      for (const int threads : {2, 3}) {
        const auto run = Together(*BestBackend(threads), s, d, k);
        EXPECT_EQ(first.y, run.y);
        EXPECT_EQ(first.sum_dz, run.sum_dz);
        EXPECT_EQ(first.sum_dz_xhat, run.sum_dz_xhat);
        EXPECT_EQ(first.dx, run.dx);
      }
    }
  }
}

}  // namespace
}  // namespace lockstep::test
