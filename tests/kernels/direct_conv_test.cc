// A GPU's own convolution against the CPU's reference.
#include "kernels/cuda/direct_conv.h"

#include "tests/kernels/host_stream.h"
#include "tests/kernels/kernel_test.h"

namespace lockstep::test {
namespace {

struct Arrays {
  std::vector<float> x, w, bias, y;
};

// The array that the pass writes, computed by `kernel`.
std::vector<float> Run(ConvKernel& kernel, ConvPass pass, const Arrays& in) {
  Arrays a = in;
  std::vector<float> dw(a.w.size());
  ConvBuffers b;
  b.x = a.x.data();
  b.y = a.y.data();
  b.weights = a.w.data();
  b.dw = dw.data();
  b.bias = a.bias.data();
  b.activation = Activation::kRelu;
  kernel.Run(b);
  return pass == ConvPass::kForward ? a.y : pass == ConvPass::kBackwardData ? a.x : dw;
}

void Check(const ConvShape& s, Layout x, Layout y) {
  const Arrays in{Numbers<float>(s.n * s.c * s.h * s.w, 1),
                  Numbers<float>(s.k * s.c / s.groups * s.kh * s.kw, 2), Numbers<float>(s.k, 3),
                  Numbers<float>(s.n * s.k * s.out_h() * s.out_w(), 4)};
  const auto cpu = BestBackend();
  for (const ConvPass pass :
       {ConvPass::kForward, ConvPass::kBackwardData, ConvPass::kBackwardWeights}) {
    const auto wanted = Run(*cpu->conv().Make(s, pass, "reference", x, y), pass, in);
    for (const int threads : {0, 5}) {
      HostStream stream(threads);
      cuda::DirectConv<HostStream> direct(&stream, s, pass, x, y);
      ExpectClose(Run(direct, pass, in), wanted, 1e-5,
                  "pass " + std::to_string(static_cast<int>(pass)));
    }
  }
}

TEST(DirectConv, EqualsTheCpusReferenceInEveryPassAndLayout) {
  for (const int64_t x : {1, 4, 8}) {
    for (const int64_t y : {1, 2, 12}) {
      Check({2, 8, 7, 6, 12, 3, 3, 1, 1, 1, 1}, {x}, {y});
      Check({1, 8, 9, 10, 12, 3, 2, 2, 3, 1, 0, 2, 1, 4}, {x}, {y});
    }
  }
}

}  // namespace
}  // namespace lockstep::test
