// Kernels of layers: the convolutions, products, normalisations, pools and losses of VGG and MLP.
#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/plan/chooser.h"
#include "kernels/shape.h"
#include "tools/kernel_bench.h"

namespace lockstep::tools {
namespace {

constexpr DType kType = DType::kFloat32;
constexpr std::array<const char*, 3> kPassNames{"forward", "backward_data", "backward_weights"};

// Of `passes` over `size` float32.
double Bytes(double passes, int64_t size) { return 4.0 * passes * static_cast<double>(size); }

std::string ConvText(const ConvShape& s) {
  return "n" + std::to_string(s.n) + " c" + std::to_string(s.c) + " " + std::to_string(s.h) + "x" +
         std::to_string(s.w) + " k" + std::to_string(s.k) + " " + std::to_string(s.kh) + "x" +
         std::to_string(s.kw);
}

// With the algorithm that is fastest here, its copy of the weights made before.
void AddConv(KernelBench& bench, AlgorithmChooser& chooser, const ConvShape& s, ConvPass pass) {
  Backend& backend = bench.backend();
  const Layout x_layout = backend.conv().Layouts(s.c, kType).front();
  const Layout y_layout = backend.conv().Layouts(s.k, kType).front();
  const std::string algorithm =
      chooser.Choose({.shape = s, .pass = pass, .x_layout = x_layout, .y_layout = y_layout});
  const std::unique_ptr<ConvKernel> kernel =
      backend.conv().Make(s, pass, algorithm, x_layout, y_layout);
  const int64_t x_size = s.n * s.c * s.h * s.w, y_size = s.n * s.k * s.out_h() * s.out_w();
  const int64_t w_size = s.k * s.c * s.kh * s.kw;
  ConvBuffers buffers;
  buffers.x = bench.Floats(x_size);
  buffers.y = bench.Floats(y_size);
  float* const weights = bench.Floats(w_size);
  buffers.weights = weights;
  if (kernel->prepared_bytes() > 0) {
    void* const prepared = bench.Take<char>(static_cast<int64_t>(kernel->prepared_bytes()));
    kernel->PrepareWeights(weights, prepared);
    buffers.weights = prepared;
  }
  buffers.dw = bench.Floats(w_size);
  buffers.scratch = bench.Take<char>(static_cast<int64_t>(kernel->scratch_bytes()));
  bench.Add({.kernel = kPassNames[static_cast<size_t>(pass)],
             .shape = ConvText(s),
             .algorithm = algorithm,
             .flops = s.flops(),
             .bytes = Bytes(1, x_size + y_size + w_size),
             .run = [&kernel, buffers] { kernel->Run(buffers); }});
}

// The three products of a fully connected layer (n, in) -> (n, out) with w (out, in).
void AddLinear(KernelBench& bench, int64_t n, int64_t in, int64_t out) {
  GemmArgs forward{.trans_b = true, .m = n, .n = out, .k = in};
  forward.lda = in, forward.ldb = in, forward.ldc = out;
  GemmArgs data{.m = n, .n = in, .k = out};
  data.lda = out, data.ldb = in, data.ldc = in;
  GemmArgs weights{.trans_a = true, .m = out, .n = in, .k = n};
  weights.lda = out, weights.ldb = in, weights.ldc = in;
  GemmKernels& kernels = bench.backend().gemm();
  size_t pass = 0;
  for (GemmArgs args : {forward, data, weights}) {
    const int64_t a = args.m * args.k, b = args.k * args.n, c = args.m * args.n;
    args.a = bench.Floats(a);
    args.b = bench.Floats(b);
    args.c = bench.Floats(c);
    const std::string shape = "m" + std::to_string(args.m) + " n" + std::to_string(args.n) + " k" +
                              std::to_string(args.k);
    bench.Add({.kernel = kPassNames.at(pass++),
               .shape = shape,
               .flops = 2.0 * static_cast<double>(a) * static_cast<double>(args.n),
               .bytes = Bytes(1, a + b + c),
               .run = [&kernels, args] { kernels.Gemm(kType, args); }});
  }
}

// What batch normalisation in front of a ReLU runs in a training step.
class NormWorks {
 public:
  NormWorks(KernelBench& bench, const PictureShape& picture)
      : bench_(bench),
        kernels_(bench.backend().norm()),
        shape_{.picture = picture,
               .layout = LayoutOf(bench, picture),
               .activation = Activation::kRelu,
               .dropout = {}} {}

  void Add() {
    double* const mean = Doubles(0.0);
    double* const m2 = Doubles(1.0);
    const float* const x = bench_.Floats(size());
    Add("moments", 1, [=, this] { kernels_.Moments(shape_, x, mean, m2); });
    AddNormalize();
    AddGradientSums();
    AddGradientApply();
  }

  // Between sums and applications: (c,) arrays alone.
  void AddFinish() {
    const int64_t c = shape_.picture.c;
    const MomentsUse use{.channels = c, .count = 1024.0, .eps = 2e-5, .decay = 0.9, .divisor = 1e3};
    double* const mean = Doubles(0.0);
    double* const m2 = Doubles(1.0);
    float* const running_mean = Channels();
    float* const running_variance = Channels();
    double* const used_mean = Doubles(0.0);
    double* const inv_std = Doubles(1.0);
    bench_.Add({.kernel = "finish_moments",
                .shape = Shape({c}).ToString(),
                .bytes = Bytes(12, c),
                .run = [=, this] {
                  kernels_.FinishMoments(use, mean, m2, running_mean, running_variance, used_mean,
                                         inv_std);
                }});
  }

 private:
  int64_t size() const { return Size(shape_.picture); }
  double* Doubles(double value) {
    return bench_.Copied(std::vector<double>(static_cast<size_t>(shape_.picture.c), value));
  }
  float* Channels() { return bench_.Floats(shape_.picture.c, 0.5, 1.5); }
  void Add(const char* name, double passes, std::function<void()> run) {
    bench_.Add({.kernel = name,
                .shape = PictureText(shape_.picture),
                .bytes = Bytes(passes, size()),
                .run = std::move(run)});
  }

  void AddNormalize() {
    const float* const x = bench_.Floats(size());
    float* const y = bench_.Floats(size());
    const double* const mean = Doubles(0.0);
    const double* const inv_std = Doubles(1.0);
    const float* const gamma = Channels();
    const float* const beta = Channels();
    Add("normalize", 2,
        [=, this] { kernels_.Normalize(shape_, x, mean, inv_std, gamma, beta, y); });
  }
  void AddGradientSums() {
    const float* const x = bench_.Floats(size());
    const float* const y = bench_.Floats(size());
    const float* const dy = bench_.Floats(size());
    const double* const mean = Doubles(0.0);
    const double* const inv_std = Doubles(1.0);
    double* const sum_dz = Doubles(0.0);
    double* const sum_dz_xhat = Doubles(0.0);
    Add("gradient_sums", 3,
        [=, this] { kernels_.GradientSums(shape_, x, y, dy, mean, inv_std, sum_dz, sum_dz_xhat); });
  }
  void AddGradientApply() {
    const float* const x = bench_.Floats(size());
    const float* const y = bench_.Floats(size());
    const float* const dy = bench_.Floats(size());
    float* const dx = bench_.Floats(size());
    const double* const mean = Doubles(0.0);
    const double* const inv_std = Doubles(1.0);
    const float* const gamma = Channels();
    const double* const sum_dz = Doubles(0.5);
    const double* const sum_dz_xhat = Doubles(0.5);
    const double* const m = bench_.Copied(std::vector<double>{1024.0});
    Add("gradient_apply", 4, [=, this] {
      kernels_.GradientApply(shape_, x, y, dy, mean, inv_std, gamma, sum_dz, sum_dz_xhat, m, dx);
    });
  }

  KernelBench& bench_;
  NormKernels& kernels_;
  const BatchNormShape shape_;
};

void AddMaxPool(KernelBench& bench, const PictureShape& s) {
  PoolKernels& kernels = bench.backend().pool();
  const PoolShape shape{.x = s,
                        .out_h = s.h / 2,
                        .out_w = s.w / 2,
                        .kh = 2,
                        .kw = 2,
                        .stride_h = 2,
                        .stride_w = 2,
                        .layout = LayoutOf(bench, s)};
  const int64_t x_size = Size(s), y_size = x_size / 4;
  const float* const x = bench.Floats(x_size);
  float* const y = bench.Floats(y_size);
  bench.Add({.kernel = "max",
             .shape = PictureText(s),
             .bytes = Bytes(1, x_size + y_size),
             .run = [&kernels, shape, x, y] { kernels.Forward(shape, x, y); }});
  const float* const in = bench.Floats(x_size);
  float* const out = bench.Floats(y_size);
  const float* const dy = bench.Floats(y_size);
  float* const dx = bench.Floats(x_size);
  kernels.Forward(shape, in, out);  // the maxima are looked for again
  bench.Add(
      {.kernel = "max_backward",
       .shape = PictureText(s),
       .bytes = Bytes(2, x_size + y_size),
       .run = [&kernels, shape, in, out, dy, dx] { kernels.Backward(shape, in, out, dy, dx); }});
}

void AddSoftmax(KernelBench& bench, int64_t rows, int64_t classes) {
  SoftmaxKernels& kernels = bench.backend().softmax();
  const int64_t size = rows * classes;
  const std::string shape = Shape({rows, classes}).ToString();
  const float* const x = bench.Floats(size);
  float* const y = bench.Floats(size);
  bench.Add(
      {.kernel = "forward",
       .shape = shape,
       .bytes = Bytes(2, size),
       .run = [&kernels, rows, classes, x, y] { kernels.Forward(kType, rows, classes, x, y); }});
  const float* const out = bench.Floats(size, 0.0, 1.0);
  const float* const dy = bench.Floats(size);
  float* const dx = bench.Floats(size);
  bench.Add({.kernel = "backward",
             .shape = shape,
             .bytes = Bytes(3, size),
             .run = [&kernels, rows, classes, out, dy, dx] {
               kernels.Backward(kType, rows, classes, out, dy, dx);
             }});
  const float* const logits = bench.Floats(size);
  float* const gradient = bench.Floats(size);
  const int32_t* const labels =
      bench.Copied(std::vector<int32_t>(static_cast<size_t>(rows), int32_t{1}));
  LossSums* const sums = bench.Copied(std::vector<LossSums>(1));
  bench.Add({.kernel = "cross_entropy",
             .shape = shape,
             .bytes = Bytes(2, size),
             .run = [&kernels, rows, classes, logits, labels, sums, gradient] {
               kernels.CrossEntropy(kType, rows, classes, logits, labels, sums, nullptr, gradient);
             }});
}

void AddSquaredError(KernelBench& bench, int64_t size) {
  SoftmaxKernels& kernels = bench.backend().softmax();
  const float* const x = bench.Floats(size);
  const float* const target = bench.Floats(size);
  float* const dx = bench.Floats(size);
  LossSums* const sums = bench.Copied(std::vector<LossSums>(1));
  bench.Add({.kernel = "squared_error",
             .shape = Shape({size}).ToString(),
             .bytes = Bytes(3, size),
             .run = [&kernels, size, x, target, sums, dx] {
               kernels.SquaredError(kType, size, x, target, sums, nullptr, dx);
             }});
}

}  // namespace

void AddConvWorks(KernelBench& bench) {
  // Channels in and out and height of VGG's convolutions, each once.
  constexpr std::array<std::array<int64_t, 3>, 9> kLayers{{{3, 64, 32},
                                                           {64, 64, 32},
                                                           {64, 128, 16},
                                                           {128, 128, 16},
                                                           {128, 256, 8},
                                                           {256, 256, 8},
                                                           {256, 512, 4},
                                                           {512, 512, 4},
                                                           {512, 512, 2}}};
  AlgorithmCache cache;
  AlgorithmChooser chooser(bench.backend(), cache, {});
  for (const auto& [c, k, side] : kLayers) {
    ConvShape s{.n = bench.batch_size(), .c = c, .h = side, .w = side, .k = k, .kh = 3, .kw = 3};
    s.pad_h = 1, s.pad_w = 1;
    AddConv(bench, chooser, s, ConvPass::kForward);
    // Nobody wants the gradient of the pictures.
    if (c > 3) AddConv(bench, chooser, s, ConvPass::kBackwardData);
    AddConv(bench, chooser, s, ConvPass::kBackwardWeights);
  }
}

void AddGemmWorks(KernelBench& bench) {
  const int64_t n = bench.batch_size();
  AddLinear(bench, n, 784, 1000);
  AddLinear(bench, n, 1000, 1000);
  AddLinear(bench, n, 1000, 10);
  AddLinear(bench, n, 512, 512);  // VGG's
  AddLinear(bench, n, 512, 10);
}

void AddNormWorks(KernelBench& bench) {
  const int64_t n = bench.batch_size();
  for (const PictureShape& picture :
       {PictureShape{n, 64, 32, 32}, PictureShape{n, 128, 16, 16}, PictureShape{n, 256, 8, 8},
        PictureShape{n, 512, 2, 2}, PictureShape{n, 512, 1, 1}, bench.ManyPictures()}) {
    NormWorks(bench, picture).Add();
  }
  NormWorks(bench, {n, 512, 1, 1}).AddFinish();
}

void AddPoolWorks(KernelBench& bench) {
  const int64_t n = bench.batch_size();
  for (const PictureShape& picture :
       {PictureShape{n, 64, 32, 32}, PictureShape{n, 128, 16, 16}, PictureShape{n, 256, 8, 8},
        PictureShape{n, 512, 4, 4}, PictureShape{n, 512, 2, 2}, bench.ManyPictures()}) {
    AddMaxPool(bench, picture);
  }
}

void AddSoftmaxWorks(KernelBench& bench) {
  AddSoftmax(bench, bench.batch_size(), 10);
  AddSoftmax(bench, bench.batch_size(), 1000);
  AddSoftmax(bench, std::max<int64_t>(bench.many() / 1000, 1), 1000);
  AddSquaredError(bench, bench.many());
}

}  // namespace lockstep::tools
