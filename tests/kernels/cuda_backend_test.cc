// What only a GPU can show: that launches, copies and libraries do what the host's tests of the
// same text expect. Without a GPU each test is a skip, which is counted and printed.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <thread>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/side_stream.h"
#include "kernels/error.h"
#include "kernels/unavailable.h"
#include "tests/kernels/kernel_test.h"

namespace lockstep::test {
namespace {

class CudaBackendTest : public testing::Test {
 protected:
  void SetUp() override {
    if (cuda::CountDevices().devices == 0) GTEST_SKIP() << "no GPU answers";
    gpu_ = MakeCudaBackend(0);
  }
  void TearDown() override {
    for (void* const memory : memory_) gpu_->Free(memory);
  }

  template <typename T>
  T* Put(const std::vector<T>& host) {
    void* const memory = gpu_->Allocate(host.size() * sizeof(T), "an array of a test");
    memory_.push_back(memory);
    gpu_->Upload(host.data(), memory, host.size() * sizeof(T));
    return static_cast<T*>(memory);
  }
  template <typename T>
  std::vector<T> Get(const T* memory, size_t size) {
    std::vector<T> host(size);
    gpu_->Download(memory, host.data(), size * sizeof(T));
    return host;
  }

  std::unique_ptr<Backend> gpu_;
  std::shared_ptr<Backend> cpu_ = BestBackend();

 private:
  std::vector<void*> memory_;
};

TEST_F(CudaBackendTest, CopiesAndClearsAnySize) {
  for (const int64_t size : {0, 1, 1000, 3 << 20}) {
    const auto host = Numbers<float>(size, 1);
    float* const a = Put(host);
    float* const b = Put(std::vector<float>(host.size()));
    gpu_->Copy(a, b, host.size() * sizeof(float));
    gpu_->Clear(a, host.size() * sizeof(float));
    EXPECT_EQ(Get(b, host.size()), host);
    EXPECT_EQ(Get(a, host.size()), std::vector<float>(host.size()));
  }
}

TEST_F(CudaBackendTest, WorkBesideTheKernelsMayStartBehindAMarkedPlace) {
  const std::vector<float> host = Numbers<float>(3 << 20, 1);
  const size_t bytes = host.size() * sizeof(float);
  float* const from = Put(host);
  float* const data = Put(std::vector<float>(host.size()));
  for (int i = 0; i < 20; ++i) gpu_->Copy(from, data, bytes);
  const std::shared_ptr<DeviceMoment> copied = gpu_->Mark();
  std::shared_ptr<std::byte> found;
  std::thread([&] {
    copied->Wait();
    cuda::SideStream side(dynamic_cast<cuda::CudaBackend&>(*gpu_).device());
    found = side.AllocatePinned(bytes);
    EXPECT_TRUE(side.Holds(data + 1));
    EXPECT_FALSE(side.Holds(found.get()));
    side.Download(data, found.get(), bytes);
    side.Mark();
    while (!side.IsDone()) std::this_thread::yield();
  }).join();
  EXPECT_EQ(std::memcmp(found.get(), host.data(), bytes), 0);
}

TEST_F(CudaBackendTest, MapsEqualTheCpusInPacksAndWithout) {
  const int64_t size = 100003;
  auto x = Numbers<float>(size, 1);
  float* const d = Put(x);
  for (const int64_t from : {0, 1}) {  // aligned for packs, and not
    const auto before = Get(d, x.size());
    x = before;
    gpu_->elementwise().ActivationForward(DType::kFloat32, Activation::kTanh, 0, size - from,
                                          d + from, d + from);
    cpu_->elementwise().ActivationForward(DType::kFloat32, Activation::kTanh, 0, size - from,
                                          x.data() + from, x.data() + from);
    ExpectClose(Get(d, x.size()), x, 1e-6, "tanh");
  }
}

TEST_F(CudaBackendTest, DropoutKeepsTheSameElementsAsTheCpu) {
  const PictureShape s{3, 12, 5, 7};
  const std::vector<int64_t> ids = {5, 1, 900000000000};
  const std::vector<uint32_t> epoch = {3};
  const auto x = Numbers<float>(Size(s), 1, 1, 2);
  float* const d = Put(x);
  float* const y = Put(x);
  for (const Layout l : Layouts(s.c)) {
    std::vector<float> wanted(x.size());
    cpu_->random().DropoutForward(DType::kFloat32, s, l, {0.3, 7, epoch.data(), ids.data()},
                                  x.data(), wanted.data());
    gpu_->random().DropoutForward(DType::kFloat32, s, l, {0.3, 7, Put(epoch), Put(ids)}, d, y);
    EXPECT_EQ(Get(y, x.size()), wanted) << l.block;
  }
}

TEST_F(CudaBackendTest, PicturesFromBytesHaveTheBitsOfTheCpus) {
  const PictureCut cut{.channels = 3,
                       .height = 40,
                       .width = 37,
                       .out_height = 38,
                       .out_width = 39,
                       .padding = 3,
                       .random_place = true,
                       .flip = true,
                       .key = 7};
  const std::vector<int64_t> ids = {5, 1, 900000000000};
  const std::vector<uint32_t> epoch = {3};
  const auto table = Numbers<float>(3 * 256, 1);
  std::vector<uint8_t> x(3 * static_cast<size_t>(cut.stored_size()));
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<uint8_t>(Mix64(i));
  std::vector<float> wanted(3 * static_cast<size_t>(cut.size()));
  cpu_->picture().Prepare(DType::kFloat32, cut, 3, {epoch.data(), ids.data()}, table.data(),
                          x.data(), wanted.data());
  float* const y = Put(std::vector<float>(wanted.size()));
  gpu_->picture().Prepare(DType::kFloat32, cut, 3, {Put(epoch), Put(ids)}, Put(table), Put(x), y);
  EXPECT_EQ(Get(y, wanted.size()), wanted);
}

TEST_F(CudaBackendTest, MomentsAndSumsEqualTheCpus) {
  const PictureShape s{16, 24, 9, 11};
  const auto x = Numbers<float>(Size(s), 1, 90, 110);
  float* const d = Put(x);
  for (const Layout l : Layouts(s.c)) {
    std::vector<double> mean(24), m2(24);
    const BatchNormShape shape{s, l, DType::kFloat32, Activation::kIdentity, {}};
    cpu_->norm().Moments(shape, x.data(), mean.data(), m2.data());
    double* const gpu_mean = Put(mean);
    double* const gpu_m2 = Put(m2);
    gpu_->norm().Moments(shape, d, gpu_mean, gpu_m2);
    ExpectClose(Get(gpu_mean, 24), mean, 1e-7, "mean");
    ExpectClose(Get(gpu_m2, 24), m2, 1e-5, "m2");
  }
  double wanted = 0;
  cpu_->reduce().AddSquares(DType::kFloat32, Size(s), x.data(), &wanted);
  double* const squares = Put(std::vector<double>{0.0});
  gpu_->reduce().AddSquares(DType::kFloat32, Size(s), d, squares);
  EXPECT_NEAR(Get(squares, 1)[0] / wanted, 1, 1e-12);
  EXPECT_EQ(gpu_->reduce().FirstNonFinite(DType::kFloat32, Size(s), d), -1);
}

TEST_F(CudaBackendTest, CrossEntropyEqualsTheCpusAndABadLabelIsThrownLater) {
  for (const int64_t classes : {10, 1000}) {
    const int64_t rows = 65;
    const auto x = Numbers<float>(rows * classes, 1, -5, 5);
    std::vector<int32_t> labels(65, 3);
    labels[7] = -1;
    std::vector<float> dx(x.size()), loss(1);
    LossSums wanted;
    cpu_->softmax().CrossEntropy(DType::kFloat32, rows, classes, x.data(), labels.data(), &wanted,
                                 loss.data(), dx.data());
    LossSums* const sums = Put(std::vector<LossSums>(1));
    float* const gpu_dx = Put(dx);
    const float* const gpu_x = Put(x);
    gpu_->softmax().CrossEntropy(DType::kFloat32, rows, classes, gpu_x, Put(labels), sums,
                                 Put(loss), gpu_dx);
    const LossSums found = Get(sums, 1)[0];
    EXPECT_NEAR(found.loss, wanted.loss, 1e-4);
    EXPECT_EQ(found.count, wanted.count);
    EXPECT_EQ(found.metric, wanted.metric);
    ExpectClose(Get(gpu_dx, dx.size()), dx, 1e-6, "dx");
    labels[9] = 5000;
    gpu_->softmax().CrossEntropy(DType::kFloat32, rows, classes, gpu_x, Put(labels), sums, nullptr,
                                 nullptr);
    EXPECT_THROW(gpu_->Synchronize(), FormatError);
  }
}

TEST_F(CudaBackendTest, ProductsEqualTheCpus) {
  for (const bool trans_a : {false, true}) {
    for (const bool trans_b : {false, true}) {
      GemmArgs g;
      g.trans_a = trans_a, g.trans_b = trans_b;
      g.m = 33, g.n = 50, g.k = 70;
      g.lda = trans_a ? g.m : g.k, g.ldb = trans_b ? g.k : g.n, g.ldc = g.n;
      g.activation = Activation::kRelu;
      const auto a = Numbers<float>(g.m * g.k, 1), b = Numbers<float>(g.k * g.n, 2);
      const auto bias = Numbers<float>(g.n, 3);
      std::vector<float> c(static_cast<size_t>(g.m * g.n));
      float* const result = Put(c);
      g.a = Put(a), g.b = Put(b), g.c = result, g.bias = Put(bias);
      gpu_->gemm().Gemm(DType::kFloat32, g);
      g.a = a.data(), g.b = b.data(), g.c = c.data(), g.bias = bias.data();
      cpu_->gemm().Gemm(DType::kFloat32, g);
      ExpectClose(Get(result, c.size()), c, 1e-5, "product");
    }
  }
}

TEST_F(CudaBackendTest, EveryConvolutionEqualsTheCpusReference) {
  const ConvShape s{4, 16, 10, 9, 24, 3, 3, 1, 1, 1, 1};
  const auto x = Numbers<float>(4 * 16 * 90, 1), y = Numbers<float>(4 * 24 * 90, 2);
  const auto w = Numbers<float>(24 * 16 * 9, 3);
  for (const ConvPass pass :
       {ConvPass::kForward, ConvPass::kBackwardData, ConvPass::kBackwardWeights}) {
    for (const int64_t block : {int64_t{1}, int64_t{0}}) {
      const Layout in{block == 0 ? s.c : 1}, out{block == 0 ? s.k : 1};
      auto host_x = x, host_y = y, host_w = w;
      ConvBuffers b;
      b.x = host_x.data(), b.y = host_y.data(), b.weights = w.data(), b.dw = host_w.data();
      cpu_->conv().Make(s, pass, "reference", in, out)->Run(b);
      for (const auto& name : gpu_->conv().Algorithms(s, pass, in, out, false)) {
        const auto kernel = gpu_->conv().Make(s, pass, name, in, out);
        float* const gpu_x = Put(x);
        float* const gpu_y = Put(y);
        float* const gpu_w = Put(w);
        b.x = gpu_x, b.y = gpu_y, b.weights = Put(w), b.dw = gpu_w;
        b.scratch = Put(std::vector<char>(kernel->scratch_bytes()));
        kernel->Run(b);
        ExpectClose(Get(gpu_x, x.size()), host_x, 1e-3, name);
        ExpectClose(Get(gpu_y, y.size()), host_y, 1e-3, name);
        ExpectClose(Get(gpu_w, w.size()), host_w, 1e-3, name);
      }
    }
  }
}

constexpr DType kHalves[] = {DType::kFloat16, DType::kBfloat16};

// Numbers of float32 as elements of 16 bits, and back.
std::vector<uint16_t> NarrowOnCpu(Backend& cpu, DType dtype, const std::vector<float>& x) {
  std::vector<uint16_t> y(x.size());
  cpu.elementwise().Cast(DType::kFloat32, dtype, static_cast<int64_t>(x.size()), x.data(),
                         y.data());
  return y;
}
std::vector<float> WidenOnCpu(Backend& cpu, DType dtype, const std::vector<uint16_t>& x) {
  std::vector<float> y(x.size());
  cpu.elementwise().Cast(dtype, DType::kFloat32, static_cast<int64_t>(x.size()), x.data(),
                         y.data());
  return y;
}
// Of one rounding, or of two to its sides.
double HalfTolerance(DType dtype) { return dtype == DType::kFloat16 ? 0x1p-10 : 0x1p-7; }

TEST_F(CudaBackendTest, CastsHaveTheBitsOfTheCpus) {
  const auto x = Numbers<float>(10007, 1, -70000, 70000);
  for (const DType dtype : kHalves) {
    const auto wanted = NarrowOnCpu(*cpu_, dtype, x);
    uint16_t* const y = Put(std::vector<uint16_t>(x.size()));
    gpu_->elementwise().Cast(DType::kFloat32, dtype, 10007, Put(x), y);
    EXPECT_EQ(Get(y, x.size()), wanted);
    float* const back = Put(x);
    gpu_->elementwise().Cast(dtype, DType::kFloat32, 10007, y, back);
    EXPECT_EQ(Get(back, x.size()), WidenOnCpu(*cpu_, dtype, wanted));
  }
}

TEST_F(CudaBackendTest, CastsWithFeedbackHaveTheBitsOfTheCpus) {
  const auto x = Numbers<float>(10007, 1, -70000, 70000), before = Numbers<float>(10007, 2);
  for (const DType dtype : kHalves) {
    std::vector<uint16_t> wanted(x.size());
    auto residual = before;
    cpu_->elementwise().CastWithFeedback(dtype, 10007, x.data(), residual.data(), wanted.data());
    uint16_t* const y = Put(std::vector<uint16_t>(x.size()));
    float* const lost = Put(before);
    gpu_->elementwise().CastWithFeedback(dtype, 10007, Put(x), lost, y);
    EXPECT_EQ(Get(y, x.size()), wanted);
    EXPECT_EQ(Get(lost, x.size()), residual);
  }
}

TEST_F(CudaBackendTest, ProductsOf16BitsEqualTheCpus) {
  for (const DType dtype : kHalves) {
    for (const bool wide : {false, true}) {
      GemmArgs g{.trans_b = true,
                 .m = 40,
                 .n = 56,
                 .k = 72,
                 .lda = 72,
                 .ldb = 72,
                 .wide_c = wide,
                 .ldc = 56,
                 .activation = Activation::kRelu};
      const auto a = NarrowOnCpu(*cpu_, dtype, Numbers<float>(g.m * g.k, 1));
      const auto b = NarrowOnCpu(*cpu_, dtype, Numbers<float>(g.n * g.k, 2));
      const auto bias = Numbers<float>(g.n, 3);
      const auto narrow_bias = NarrowOnCpu(*cpu_, dtype, bias);
      const auto size = static_cast<size_t>(g.m * g.n);
      std::vector<float> c(size);
      std::vector<uint16_t> narrow_c(size);
      float* const gpu_c = Put(c);
      uint16_t* const gpu_narrow = Put(narrow_c);
      g.a = Put(a), g.b = Put(b);
      g.c = wide ? static_cast<void*>(gpu_c) : gpu_narrow;
      g.bias = wide ? static_cast<const void*>(Put(bias)) : Put(narrow_bias);
      gpu_->gemm().Gemm(dtype, g);
      g.a = a.data(), g.b = b.data();
      g.c = wide ? static_cast<void*>(c.data()) : narrow_c.data();
      g.bias = wide ? static_cast<const void*>(bias.data()) : narrow_bias.data();
      cpu_->gemm().Gemm(dtype, g);
      if (wide) {
        ExpectClose(Get(gpu_c, size), c, 1e-5, "wide product");
      } else {
        ExpectClose(WidenOnCpu(*cpu_, dtype, Get(gpu_narrow, size)),
                    WidenOnCpu(*cpu_, dtype, narrow_c), HalfTolerance(dtype), "product");
      }
    }
  }
}

TEST_F(CudaBackendTest, EveryConvolutionOf16BitsEqualsTheCpusReference) {
  for (const DType dtype : kHalves) {
    ConvShape s{4, 16, 10, 9, 24, 3, 3, 1, 1, 1, 1};
    s.dtype = dtype;
    const auto x = NarrowOnCpu(*cpu_, dtype, Numbers<float>(4 * 16 * 90, 1));
    const auto y = NarrowOnCpu(*cpu_, dtype, Numbers<float>(4 * 24 * 90, 2));
    const auto w = NarrowOnCpu(*cpu_, dtype, Numbers<float>(24 * 16 * 9, 3));
    for (const ConvPass pass :
         {ConvPass::kForward, ConvPass::kBackwardData, ConvPass::kBackwardWeights}) {
      for (const int64_t block : {int64_t{1}, int64_t{0}}) {
        const Layout in{block == 0 ? s.c : 1}, out{block == 0 ? s.k : 1};
        auto host_x = x, host_y = y;
        std::vector<float> host_dw(w.size());
        const auto reference = cpu_->conv().Make(s, pass, "reference", in, out);
        const auto padded = [](size_t bytes) { return std::vector<double>(bytes / 8 + 16); };
        std::vector<double> prepared = padded(reference->prepared_bytes());
        std::vector<double> scratch = padded(reference->scratch_bytes());
        if (reference->prepared_bytes() > 0) reference->PrepareWeights(w.data(), prepared.data());
        ConvBuffers b;
        b.x = host_x.data(), b.y = host_y.data(), b.dw = host_dw.data();
        b.weights = prepared.data(), b.scratch = scratch.data();
        reference->Run(b);
        for (const auto& name : gpu_->conv().Algorithms(s, pass, in, out, false)) {
          const auto kernel = gpu_->conv().Make(s, pass, name, in, out);
          uint16_t* const gpu_x = Put(x);
          uint16_t* const gpu_y = Put(y);
          float* const gpu_dw = Put(std::vector<float>(w.size()));
          b.x = gpu_x, b.y = gpu_y, b.weights = Put(w), b.dw = gpu_dw;
          b.scratch = Put(std::vector<char>(kernel->scratch_bytes()));
          kernel->Run(b);
          const double tolerance = 4 * HalfTolerance(dtype);  // Winograd rounds in between
          const auto widen = [&](const std::vector<uint16_t>& v) {
            return WidenOnCpu(*cpu_, dtype, v);
          };
          ExpectClose(widen(Get(gpu_x, x.size())), widen(host_x), tolerance, name);
          ExpectClose(widen(Get(gpu_y, y.size())), widen(host_y), tolerance, name);
          ExpectClose(Get(gpu_dw, w.size()), host_dw, tolerance, name);
        }
      }
    }
  }
}

// Operands rounded to 10 bits, of sums of 70 products below 1: wrong by up to 70 * 2^-10, and
// hardly right to float32's digits.
TEST_F(CudaBackendTest, Tf32IsUsedWhereItIsAllowedAlone) {
  const auto rounding = MakeCudaBackend(0, true);
  EXPECT_NE(rounding->fingerprint(), gpu_->fingerprint());
  // Rows of whole 16 bytes, which no kernel of tensor cores refuses.
  GemmArgs g{.m = 64, .n = 64, .k = 72, .lda = 72, .ldb = 64, .ldc = 64};
  const auto a = Numbers<float>(g.m * g.k, 1), b = Numbers<float>(g.k * g.n, 2);
  std::vector<float> c(static_cast<size_t>(g.m * g.n));
  g.a = a.data(), g.b = b.data(), g.c = c.data();
  cpu_->gemm().Gemm(DType::kFloat32, g);
  float* const result = Put(std::vector<float>(c.size()));
  g.a = Put(a), g.b = Put(b), g.c = result;
  gpu_->gemm().Gemm(DType::kFloat32, g);
  ExpectClose(Get(result, c.size()), c, 1e-5, "float32");
  gpu_->Synchronize();
  rounding->gemm().Gemm(DType::kFloat32, g);
  rounding->Synchronize();
  const std::vector<float> rounded = Get(result, c.size());
  ExpectClose(rounded, c, 72 * 0x1p-10, "TF32");
  constexpr int kFirstWithTf32 = 80;
  if (dynamic_cast<cuda::CudaBackend&>(*gpu_).device().capability < kFirstWithTf32) return;
  double largest = 0.0;
  for (size_t i = 0; i < c.size(); ++i) {
    largest = std::max(largest, std::abs(double{rounded[i]} - double{c[i]}));
  }
  EXPECT_GT(largest, 1e-4);  // beyond what sums of float32 differ by
}

TEST_F(CudaBackendTest, MemoryThatIsNotThereIsNamed) {
  EXPECT_THROW(gpu_->Allocate(size_t{1} << 60, "the arena of a test"), UnavailableError);
  EXPECT_NO_THROW(gpu_->Synchronize());
}

}  // namespace
}  // namespace lockstep::test
