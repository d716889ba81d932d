// Kernels that pass over memory: what one call reads and writes is what limits it.
#include <algorithm>
#include <array>
#include <numeric>
#include <vector>

#include "kernels/math/philox.h"
#include "kernels/shape.h"
#include "tools/kernel_bench.h"

namespace lockstep::tools {
namespace {

constexpr DType kType = DType::kFloat32;
// All parameters of the MLP 784-1000-1000-10 and of the VGG for 10 classes, which an optimizer
// updates in one call.
constexpr int64_t kMlpSize = 784 * 1000 + 1000 + 1000 * 1000 + 1000 + 1000 * 10 + 10;
constexpr int64_t kVggSize = 14987200;

std::string Flat(int64_t size) { return Shape({size}).ToString(); }
// Of `passes` over `size` float32.
double Bytes(double passes, int64_t size) { return 4.0 * passes * static_cast<double>(size); }

struct NamedActivation {
  const char* forward;
  const char* backward;
  Activation f;
};
constexpr std::array<NamedActivation, 3> kActivations{
    {{"relu", "relu_backward", Activation::kRelu},
     {"sigmoid", "sigmoid_backward", Activation::kSigmoid},
     {"tanh", "tanh_backward", Activation::kTanh}}};

void AddActivations(KernelBench& bench, int64_t size) {
  ElementwiseKernels& kernels = bench.backend().elementwise();
  for (const NamedActivation& each : kActivations) {
    const Activation f = each.f;
    const float* const x = bench.Floats(size);
    float* const y = bench.Floats(size);
    bench.Add({.kernel = each.forward,
               .shape = Flat(size),
               .bytes = Bytes(2, size),
               .run = [&kernels, f, size, x, y] {
                 kernels.ActivationForward(kType, f, 0.0, size, x, y);
               }});
    const float* const out = bench.Floats(size);
    const float* const dy = bench.Floats(size);
    float* const dx = bench.Floats(size);
    bench.Add({.kernel = each.backward,
               .shape = Flat(size),
               .bytes = Bytes(3, size),
               .run = [&kernels, f, size, out, dy, dx] {
                 kernels.ActivationBackward(kType, f, 0.0, size, out, dy, dx);
               }});
  }
}

void AddLayoutChanges(KernelBench& bench, const PictureShape& s) {
  ElementwiseKernels& kernels = bench.backend().elementwise();
  const Layout plain, best = LayoutOf(bench, s);
  const float* const x = bench.Floats(Size(s));
  float* const y = bench.Floats(Size(s));
  bench.Add(
      {.kernel = "reorder",
       .shape = PictureText(s),
       .bytes = Bytes(2, Size(s)),
       .run = [&kernels, s, plain, best, x, y] { kernels.Reorder(kType, s, plain, best, x, y); }});
  const PictureShape half{s.n, s.c / 2, s.h, s.w};
  const float* const from = bench.Floats(Size(half));
  float* const to = bench.Floats(Size(s));
  const Layout half_layout = LayoutOf(bench, half);
  bench.Add({.kernel = "copy_channels",
             .shape = PictureText(half),
             .bytes = Bytes(2, Size(half)),
             .run = [&kernels, s, half, half_layout, best, from, to] {
               kernels.CopyChannels(kType, half, half_layout, 0, from, s, best, half.c, half.c, to);
             }});
}

void AddPicturesFromBytes(KernelBench& bench, const PictureShape& s) {
  std::vector<uint8_t> values(static_cast<size_t>(Size(s)));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<uint8_t>(Mix64(i));
  const uint8_t* const bytes = bench.Copied(values);
  std::vector<int64_t> ids(static_cast<size_t>(s.n));
  std::iota(ids.begin(), ids.end(), 0);
  const PictureSamples samples{bench.Copied(std::vector<uint32_t>{3}), bench.Copied(ids)};
  const PictureCut cut{.channels = s.c,
                       .height = s.h,
                       .width = s.w,
                       .out_height = s.h,
                       .out_width = s.w,
                       .padding = 4,
                       .random_place = true,
                       .flip = true,
                       .key = 1};
  const float* const table = bench.Floats(s.c * kByteValues);
  float* const pictures = bench.Floats(Size(s));
  PictureKernels& kernels = bench.backend().picture();
  bench.Add({.kernel = "from_bytes",
             .shape = PictureText(s),
             .bytes = Bytes(1.25, Size(s)),
             .run = [&kernels, s, cut, samples, table, bytes, pictures] {
               kernels.Prepare(kType, cut, s.n, samples, table, bytes, pictures);
             }});
}

struct NamedRule {
  const char* name;
  UpdateRule rule;
  int states;
};
constexpr std::array<NamedRule, 8> kRules{{{"sgd", UpdateRule::kSgd, 0},
                                           {"momentum", UpdateRule::kMomentum, 1},
                                           {"nesterov_chainer", UpdateRule::kNesterovChainer, 1},
                                           {"nesterov", UpdateRule::kNesterov, 1},
                                           {"adam", UpdateRule::kAdam, 2},
                                           {"rmsprop", UpdateRule::kRmsProp, 1},
                                           {"adagrad", UpdateRule::kAdaGrad, 1},
                                           {"adadelta", UpdateRule::kAdaDelta, 2}}};

void AddUpdate(KernelBench& bench, const NamedRule& each, int64_t size) {
  OptimizerKernels& kernels = bench.backend().optimizer();
  float* const p = bench.Floats(size);
  const float* const g = bench.Floats(size);
  float* const s0 = each.states > 0 ? bench.Floats(size, 0.0, 1.0) : nullptr;
  float* const s1 = each.states > 1 ? bench.Floats(size, 0.0, 1.0) : nullptr;
  UpdateArgs args;
  args.rule = each.rule;
  args.weight_decay = 5e-4;
  UpdateNumbers step;
  step.lr = 1e-3;
  step.grad_scale = 1.0 / static_cast<double>(bench.batch_size());
  const UpdateNumbers* const numbers = bench.Copied(std::vector<UpdateNumbers>{step});
  bench.Add({.kernel = each.name,
             .shape = Flat(size),
             // Parameters and states are read and written, gradients read.
             .bytes = Bytes(3.0 + 2.0 * each.states, size),
             .run = [&kernels, args, numbers, size, p, g, s0, s1] {
               kernels.Update(kType, args, numbers, size, p, g, s0, s1);
             }});
}

void AddDropouts(KernelBench& bench, const PictureShape& s) {
  RandomKernels& kernels = bench.backend().random();
  const Layout layout = LayoutOf(bench, s);
  for (const bool forward : {true, false}) {
    std::vector<int64_t> ids(static_cast<size_t>(s.n));
    std::iota(ids.begin(), ids.end(), 0);
    const DropoutArgs args{.ratio = 0.4,
                           .key = 1,
                           .epoch = bench.Copied(std::vector<uint32_t>{1}),
                           .sample_ids = bench.Copied(ids)};
    const float* const x = bench.Floats(Size(s));
    float* const y = bench.Floats(Size(s));
    bench.Add({.kernel = forward ? "dropout" : "dropout_backward",
               .shape = PictureText(s),
               .bytes = Bytes(2, Size(s)),
               .run = [&kernels, s, layout, args, forward, x, y] {
                 if (forward) {
                   kernels.DropoutForward(kType, s, layout, args, x, y);
                 } else {
                   kernels.DropoutBackward(kType, s, layout, args, x, y);
                 }
               }});
  }
}

// Of one array; the searches give the host a number, which is part of the call.
void AddScans(KernelBench& bench, int64_t size) {
  ReduceKernels& kernels = bench.backend().reduce();
  const float* const squared = bench.Floats(size);
  auto* const sum = bench.Copied(std::vector<double>(1));
  bench.Add(
      {.kernel = "add_squares",
       .shape = Flat(size),
       .bytes = Bytes(1, size),
       .run = [&kernels, size, squared, sum] { kernels.AddSquares(kType, size, squared, sum); }});
  const auto add = [&](const char* name, void (*scan)(ReduceKernels&, int64_t, const float*)) {
    const float* const x = bench.Floats(size);
    bench.Add({.kernel = name,
               .shape = Flat(size),
               .bytes = Bytes(1, size),
               .run = [&kernels, scan, size, x] { scan(kernels, size, x); }});
  };
  add("first_non_finite",
      [](ReduceKernels& k, int64_t n, const float* x) { k.FirstNonFinite(kType, n, x); });
  add("largest_magnitude",
      [](ReduceKernels& k, int64_t n, const float* x) { k.LargestMagnitude(kType, n, x); });
}

void AddFixedPoint(KernelBench& bench, int64_t size) {
  constexpr double kScale = 1LL << 40;
  ReduceKernels& kernels = bench.backend().reduce();
  for (const bool to : {true, false}) {
    float* const x = bench.Floats(size);
    auto* const sums = bench.Copied(std::vector<int64_t>(static_cast<size_t>(size), 123456789));
    bench.Add({.kernel = to ? "to_fixed_point" : "from_fixed_point",
               .shape = Flat(size),
               .bytes = Bytes(3, size),
               .run = [&kernels, to, size, x, sums] {
                 if (to) {
                   kernels.ToFixedPoint(kType, size, x, kScale, false, sums);
                 } else {
                   kernels.FromFixedPoint(kType, size, sums, 1.0 / kScale, x);
                 }
               }});
  }
}

void AddChannelSums(KernelBench& bench, const PictureShape& s) {
  ReduceKernels& kernels = bench.backend().reduce();
  const Layout layout = LayoutOf(bench, s);
  const float* const x = bench.Floats(Size(s));
  float* const y = bench.Floats(s.c);
  bench.Add({.kernel = "channel_sums",
             .shape = PictureText(s),
             .bytes = Bytes(1, Size(s)),
             .run = [&kernels, s, layout, x, y] { kernels.ChannelSums(kType, s, layout, x, y); }});
}

}  // namespace

void AddElementwiseWorks(KernelBench& bench) {
  const int64_t n = bench.batch_size();
  AddActivations(bench, n * 1000);  // the MLP's hidden units
  AddActivations(bench, bench.many());
  ElementwiseKernels& kernels = bench.backend().elementwise();
  const int64_t size = bench.many();
  const float* const a = bench.Floats(size);
  const float* const b = bench.Floats(size);
  float* const c = bench.Floats(size);
  bench.Add({.kernel = "add",
             .shape = Flat(size),
             .bytes = Bytes(3, size),
             .run = [&kernels, size, a, b, c] { kernels.Add(kType, size, a, b, c); }});
  const float* const x = bench.Floats(size);
  float* const y = bench.Floats(size);
  bench.Add({.kernel = "scale",
             .shape = Flat(size),
             .bytes = Bytes(2, size),
             .run = [&kernels, size, x, y] { kernels.Scale(kType, 0.5, size, x, y); }});
  AddLayoutChanges(bench, {n, 64, 32, 32});
  AddLayoutChanges(bench, bench.ManyPictures());
}

void AddOptimizerWorks(KernelBench& bench) {
  const NamedRule momentum{"momentum", UpdateRule::kMomentum, 1};
  AddUpdate(bench, momentum, kMlpSize);
  AddUpdate(bench, momentum, kVggSize);
  for (const NamedRule& each : kRules) AddUpdate(bench, each, bench.many());
}

void AddPictureWorks(KernelBench& bench) {
  AddPicturesFromBytes(bench, {bench.batch_size(), 3, 32, 32});
  AddPicturesFromBytes(bench, {std::max<int64_t>(bench.many() / (3 * 32 * 32), 1), 3, 32, 32});
}

void AddRandomWorks(KernelBench& bench) {
  AddDropouts(bench, {bench.batch_size(), 64, 32, 32});
  AddDropouts(bench, {bench.batch_size(), 512, 2, 2});
  AddDropouts(bench, bench.ManyPictures());
  RandomKernels& kernels = bench.backend().random();
  const int64_t size = bench.many();
  for (const bool normal : {true, false}) {
    float* const x = bench.Floats(size);
    bench.Add({.kernel = normal ? "fill_normal" : "fill_uniform",
               .shape = Flat(size),
               .bytes = Bytes(1, size),
               .run = [&kernels, normal, size, x] {
                 if (normal) {
                   kernels.FillNormal(kType, 1, 0.0, 1.0, size, x);
                 } else {
                   kernels.FillUniform(kType, 1, 0.0, 1.0, size, x);
                 }
               }});
  }
}

void AddReduceWorks(KernelBench& bench) {
  AddChannelSums(bench, {bench.batch_size(), 1000, 1, 1});  // gradients of the MLP's biases
  AddChannelSums(bench, bench.ManyPictures());
  AddScans(bench, kMlpSize);
  AddScans(bench, bench.many());
  AddFixedPoint(bench, kMlpSize);
  AddFixedPoint(bench, bench.many());
}

void AddMemoryWorks(KernelBench& bench) {
  Backend& backend = bench.backend();
  const int64_t size = bench.many();
  const auto bytes = static_cast<size_t>(size) * sizeof(float);
  const float* const from = bench.Floats(size);
  float* const to = bench.Floats(size);
  bench.Add({.kernel = "copy",
             .shape = Flat(size),
             .bytes = Bytes(2, size),
             .run = [&backend, bytes, from, to] { backend.Copy(from, to, bytes); }});
  float* const cleared = bench.Floats(size);
  bench.Add({.kernel = "clear",
             .shape = Flat(size),
             .bytes = Bytes(1, size),
             .run = [&backend, bytes, cleared] { backend.Clear(cleared, bytes); }});
  std::vector<float> host(static_cast<size_t>(size), 1.0F);
  float* const uploaded = bench.Floats(size);
  bench.Add({.kernel = "upload",
             .shape = Flat(size),
             .bytes = Bytes(1, size),
             .run = [&backend, bytes, &host, uploaded] {
               backend.Upload(host.data(), uploaded, bytes);
             }});
  const float* const downloaded = bench.Floats(size);
  bench.Add({.kernel = "download",
             .shape = Flat(size),
             .bytes = Bytes(1, size),
             .run = [&backend, bytes, &host, downloaded] {
               backend.Download(downloaded, host.data(), bytes);
             }});
}

}  // namespace lockstep::tools
