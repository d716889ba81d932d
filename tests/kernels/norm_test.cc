#include "kernels/norm.h"

#include "tests/kernels/devices.h"

namespace lockstep::test {
namespace {

constexpr double kEps = 2e-5;

struct Channel {
  double mean = 0, m2 = 0, inv_std = 0;
};

template <typename T>
std::vector<Channel> ReferenceMoments(const BatchNormShape& s, const std::vector<T>& x) {
  std::vector<Channel> k(static_cast<size_t>(s.picture.c));
  const PictureShape& p = s.picture;
  const double m = static_cast<double>(p.n * p.h * p.w);
  ForEach(p, [&](int64_t n, int64_t c, int64_t h, int64_t w) {
    k[static_cast<size_t>(c)].mean += static_cast<double>(x[At(p, s.layout, n, c, h, w)]) / m;
  });
  ForEach(p, [&](int64_t n, int64_t c, int64_t h, int64_t w) {
    Channel& ch = k[static_cast<size_t>(c)];
    ch.m2 += std::pow(static_cast<double>(x[At(p, s.layout, n, c, h, w)]) - ch.mean, 2);
  });
  for (Channel& ch : k) ch.inv_std = 1 / std::sqrt(ch.m2 / m + kEps);
  return k;
}

// What Chainer's batch_normalization computes from a whole batch, in steps of our kernels.
template <typename T>
struct Steps {
  std::vector<double> mean, m2, inv_std, sum_dz, sum_dz_xhat;
  std::vector<T> y, dx;

  Steps(Backend& b, const BatchNormShape& s, const std::vector<T>& x, const std::vector<T>& gamma,
        const std::vector<T>& beta, const std::vector<T>& dy)
      : mean(gamma.size()),
        m2(mean),
        inv_std(mean),
        sum_dz(mean),
        sum_dz_xhat(mean),
        y(x.size()),
        dx(x.size()) {
    const double m = static_cast<double>(s.picture.n * s.picture.h * s.picture.w);
    NormKernels& k = b.norm();
    k.Moments(s, x.data(), mean.data(), m2.data());
    for (size_t c = 0; c < mean.size(); ++c) inv_std[c] = 1 / std::sqrt(m2[c] / m + kEps);
    k.Normalize(s, x.data(), mean.data(), inv_std.data(), gamma.data(), beta.data(), y.data());
    k.GradientSums(s, x.data(), y.data(), dy.data(), mean.data(), inv_std.data(), sum_dz.data(),
                   sum_dz_xhat.data());
    k.GradientApply(s, x.data(), y.data(), dy.data(), mean.data(), inv_std.data(), gamma.data(),
                    sum_dz.data(), sum_dz_xhat.data(), &m, dx.data());
  }
};

constexpr uint32_t kEpoch = 2;

std::vector<int64_t> SampleIds(int64_t n) {
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < n; ++i) ids.push_back(i * 13 + 4);
  return ids;
}

template <typename T>
void Check(Backend& b, const BatchNormShape& s, double low, double high) {
  const PictureShape& p = s.picture;
  const auto x = Numbers<T>(Size(p), 1, low, high), dy = Numbers<T>(Size(p), 2);
  const auto gamma = Numbers<T>(p.c, 3, 0.5, 1.5), beta = Numbers<T>(p.c, 4);
  const Steps<T> run(b, s, x, gamma, beta, dy);
  const auto k = ReferenceMoments(s, x);
  const double m = static_cast<double>(p.n * p.h * p.w);
  const double keep = 1 / (1 - s.dropout.ratio);
  const double tolerance = sizeof(T) == 4 ? 2e-5 : 1e-9;
  std::vector<double> sum_dz(k.size()), sum_dz_xhat(k.size()), dz(x.size()), xhat(x.size());
  ForEach(p, [&](int64_t n, int64_t c, int64_t h, int64_t w) {
    const size_t i = At(p, s.layout, n, c, h, w), j = static_cast<size_t>(c);
    xhat[i] = (static_cast<double>(x[i]) - k[j].mean) * k[j].inv_std;
    double z = xhat[i] * static_cast<double>(gamma[j]) + static_cast<double>(beta[j]);
    const bool relu = s.activation == Activation::kRelu;
    if (relu) z = std::max(z, 0.0);
    if (s.dropout.ratio > 0) {
      const int64_t e = (h * p.w + w) * p.c + c;
      const PhiloxWords words = Philox(
          s.dropout.key,
          SampleCounter(static_cast<uint32_t>(e / 4), s.dropout.sample_ids[n], *s.dropout.epoch));
      const bool kept = words[static_cast<size_t>(e % 4)] >= s.dropout.ratio * 4294967296.0;
      z = kept ? z * keep : 0;
    }
    ASSERT_NEAR(run.y[i], z, tolerance * keep * 5) << "block " << s.layout.block;
    dz[i] = !relu || run.y[i] != 0 ? static_cast<double>(dy[i]) * keep : 0;
    sum_dz[j] += dz[i];
    sum_dz_xhat[j] += dz[i] * xhat[i];
  });
  for (size_t j = 0; j < k.size(); ++j) {
    ASSERT_NEAR(run.mean[j], k[j].mean, 1e-7 * (1 + std::abs(k[j].mean)));
    ASSERT_NEAR(run.m2[j], k[j].m2, 1e-5 * k[j].m2 + 1e-12);
    ASSERT_NEAR(run.sum_dz[j], sum_dz[j], tolerance * std::sqrt(m));
    ASSERT_NEAR(run.sum_dz_xhat[j], sum_dz_xhat[j], tolerance * std::sqrt(m));
  }
  ForEach(p, [&](int64_t n, int64_t c, int64_t h, int64_t w) {
    const size_t i = At(p, s.layout, n, c, h, w), j = static_cast<size_t>(c);
    const double wanted = static_cast<double>(gamma[j]) * k[j].inv_std *
                          (dz[i] - (sum_dz[j] + xhat[i] * sum_dz_xhat[j]) / m);
    ASSERT_NEAR(run.dx[i], wanted, tolerance * 5 * keep * (1 + k[j].inv_std))
        << "block " << s.layout.block;
  });
}

const PictureShape kShapes[] = {{3, 16, 5, 7},   {33, 10, 1, 1}, {2, 48, 33, 31}, {5, 3, 32, 32},
                                {40, 600, 1, 1}, {3, 320, 3, 2}, {1, 6, 4, 4}};

TEST(BatchNorm, EqualsTheDefinitionInEveryLayout) {
  for (const auto& b : Devices()) {
    for (const PictureShape& p : kShapes) {
      for (const Layout l : Layouts(p.c)) {
        for (const Activation f : {Activation::kIdentity, Activation::kRelu}) {
          Check<float>(*b, {p, l, DType::kFloat32, f, {}}, -1, 2);
          Check<double>(*b, {p, l, DType::kFloat64, f, {}}, -1, 2);
        }
      }
    }
  }
}

TEST(BatchNorm, FusesReluAndDropout) {
  for (const auto& b : Devices()) {
    for (const PictureShape& p : kShapes) {
      const auto ids = SampleIds(p.n);
      const DropoutArgs dropout{0.4, 77, &kEpoch, ids.data()};
      for (const Layout l : Layouts(p.c)) {
        Check<float>(*b, {p, l, DType::kFloat32, Activation::kRelu, dropout}, -1, 2);
        Check<double>(*b, {p, l, DType::kFloat64, Activation::kRelu, dropout}, -1, 2);
      }
    }
  }
}

TEST(BatchNorm, FusedDropoutDrawsTheNumbersOfTheDropoutKernel) {
  const PictureShape p{3, 32, 6, 5};
  const auto ids = SampleIds(p.n);
  const DropoutArgs dropout{0.3, 77, &kEpoch, ids.data()};
  const auto x = Numbers<float>(Size(p), 1), dy = Numbers<float>(Size(p), 2);
  const auto gamma = Numbers<float>(p.c, 3, 0.5, 1.5), beta = Numbers<float>(p.c, 4);
  for (const auto& b : Devices()) {
    for (const Layout l : Layouts(p.c)) {
      const BatchNormShape plain{p, l, DType::kFloat32, Activation::kRelu, {}};
      const BatchNormShape fused{p, l, DType::kFloat32, Activation::kRelu, dropout};
      auto y = Steps<float>(*b, plain, x, gamma, beta, dy).y;
      b->random().DropoutForward(DType::kFloat32, p, l, dropout, y.data(), y.data());
      EXPECT_EQ(y, Steps<float>(*b, fused, x, gamma, beta, dy).y);
    }
  }
}

TEST(BatchNorm, MomentsFarFromZeroKeepTheirDigits) {
  const PictureShape p{16, 32, 16, 16};
  std::vector<float> x(static_cast<size_t>(Size(p)));
  BestBackend()->random().FillNormal(DType::kFloat32, 8, 1e4, 1, Size(p), x.data());
  for (const auto& b : Devices()) {
    for (const Layout l : Layouts(p.c)) {
      const BatchNormShape s{p, l, DType::kFloat32, Activation::kIdentity, {}};
      const auto wanted = ReferenceMoments(s, x);
      std::vector<double> mean(32), m2(32);
      b->norm().Moments(s, x.data(), mean.data(), m2.data());
      for (size_t c = 0; c < 32; ++c) {
        EXPECT_NEAR(mean[c], wanted[c].mean, 1e-5);
        EXPECT_NEAR(m2[c] / wanted[c].m2, 1, 2e-6);
      }
    }
  }
}

TEST(BatchNorm, GradientIsTheCentralDifference) {
  const PictureShape p{3, 4, 2, 3};
  const BatchNormShape s{p, {4}, DType::kFloat64, Activation::kRelu, {}};
  const auto x = Numbers<double>(Size(p), 1), dy = Numbers<double>(Size(p), 2);
  const auto gamma = Numbers<double>(p.c, 3, 0.5, 1.5), beta = Numbers<double>(p.c, 4);
  for (const auto& b : Devices()) {
    const auto loss = [&](const auto& x_, const auto& gamma_, const auto& beta_) {
      const Steps<double> run(*b, s, x_, gamma_, beta_, dy);
      double sum = 0;
      for (size_t i = 0; i < dy.size(); ++i) sum += run.y[i] * dy[i];
      return sum;
    };
    const Steps<double> run(*b, s, x, gamma, beta, dy);
    const double h = 1e-6;
    for (size_t i = 0; i < x.size(); ++i) {
      auto up = x, down = x;
      up[i] += h, down[i] -= h;
      ASSERT_NEAR(run.dx[i], (loss(up, gamma, beta) - loss(down, gamma, beta)) / (2 * h), 1e-7);
    }
    for (size_t c = 0; c < gamma.size(); ++c) {
      auto up = gamma, down = gamma;
      up[c] += h, down[c] -= h;
      ASSERT_NEAR(run.sum_dz_xhat[c], (loss(x, up, beta) - loss(x, down, beta)) / (2 * h), 1e-7);
      up = down = beta;
      up[c] += h, down[c] -= h;
      ASSERT_NEAR(run.sum_dz[c], (loss(x, gamma, up) - loss(x, gamma, down)) / (2 * h), 1e-7);
    }
  }
}

TEST(BatchNorm, BitsDoNotDependOnTheNumberOfThreads) {
  for (const PictureShape& p : {PictureShape{7, 48, 33, 31}, PictureShape{64, 512, 2, 2}}) {
    const auto ids = SampleIds(p.n);
    const auto x = Numbers<float>(Size(p), 1), dy = Numbers<float>(Size(p), 2);
    const auto gamma = Numbers<float>(p.c, 3, 0.5, 1.5), beta = Numbers<float>(p.c, 4);
    for (const Layout l : {Layout{1}, Layout{16}, Layout{p.c}}) {
      const BatchNormShape s{
          p, l, DType::kFloat32, Activation::kRelu, {0.4, 77, &kEpoch, ids.data()}};
      const Steps<float> first(*BestBackend(1), s, x, gamma, beta, dy);
      for (const int threads : {2, 3}) {
        const Steps<float> run(*BestBackend(threads), s, x, gamma, beta, dy);
        EXPECT_EQ(first.mean, run.mean);
        EXPECT_EQ(first.m2, run.m2);
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
