#include "kernels/cpu/conv/conv.h"

#include <utility>

#include "kernels/cpu/conv/im2col_conv.h"
#include "kernels/cpu/conv/implicit_conv.h"
#include "kernels/cpu/conv/onednn_conv.h"
#include "kernels/cpu/conv/pooled_conv.h"
#include "kernels/cpu/conv/reference.h"
#include "kernels/cpu/conv/tile_conv.h"
#include "kernels/cpu/conv/window_conv.h"
#include "kernels/cpu/winograd/winograd.h"
#include "kernels/error.h"

namespace lockstep::cpu {
namespace {

constexpr char kOnednnDirect[] = "onednn_direct";
constexpr char kOnednnWinograd[] = "onednn_winograd";
constexpr char kTileGemm[] = "tile_gemm";
constexpr char kImplicitGemm[] = "implicit_gemm";
constexpr char kWindowSums[] = "window_sums";
constexpr char kIm2colGemm[] = "im2col_gemm";
constexpr char kReference[] = "reference";
constexpr int64_t kFewChannels = 32;
constexpr int64_t kSparse = 3;  // of so many elements of a gradient one that is not zero

std::string Describe(const ConvShape& s) {
  const auto text = [](int64_t value) { return std::to_string(value); };
  return "convolution of x (" + text(s.n) + ", " + text(s.c) + ", " + text(s.h) + ", " + text(s.w) +
         ") with w (" + text(s.k) + ", " + text(s.c) + " / " + text(s.groups) + ", " + text(s.kh) +
         ", " + text(s.kw) + "), stride (" + text(s.stride_h) + ", " + text(s.stride_w) +
         "), pad (" + text(s.pad_h) + ", " + text(s.pad_w) + "), dilation (" + text(s.dilation_h) +
         ", " + text(s.dilation_w) + "), " + std::string(Name(s.dtype));
}

// What graph inference has already refused for a user's network.
void Check(const ConvShape& s, Layout x, Layout y) {
  const auto fail = [&s](const std::string& found) {
    throw ShapeError(Describe(s) + ": " + found);
  };
  if (!IsFloating(s.dtype)) fail("wanted float32 or float64");
  for (const int64_t value : {s.n, s.c, s.h, s.w, s.k, s.kh, s.kw, s.stride_h, s.stride_w,
                              s.dilation_h, s.dilation_w, s.groups}) {
    if (value < 1) fail("found " + std::to_string(value) + ", wanted extents of at least 1");
  }
  if (s.pad_h < 0 || s.pad_w < 0) fail("wanted a padding of at least 0");
  if (s.c % s.groups != 0 || s.k % s.groups != 0) fail("groups must divide both channel counts");
  const int64_t reach_h = s.dilation_h * (s.kh - 1) + 1, reach_w = s.dilation_w * (s.kw - 1) + 1;
  if (s.h + 2 * s.pad_h < reach_h || s.w + 2 * s.pad_w < reach_w) {
    fail("the filter is larger than the padded picture");
  }
  if (x.block < 1 || s.c % x.block != 0 || y.block < 1 || s.k % y.block != 0) {
    fail("a layout's block must divide the channels, found x " + std::to_string(x.block) + ", y " +
         std::to_string(y.block));
  }
}

}  // namespace

std::vector<std::string> CpuConv::Algorithms(const ConvShape& shape, ConvPass pass, Layout x,
                                             Layout y, bool exact) const {
  Check(shape, x, y);
  std::vector<std::string> names;
  if (shape.dtype == DType::kFloat32) {
    if (!exact) names = WinogradAlgorithms(shape, pass, x, y, gemm_->isa());
    if (HasOnednnConv(shape, pass, OnednnAlgorithm::kDirect, x, y)) {
      names.emplace_back(kOnednnDirect);
    }
    if (!exact && HasOnednnConv(shape, pass, OnednnAlgorithm::kWinograd, x, y)) {
      names.emplace_back(kOnednnWinograd);
    }
  }
  if (CanRunWindowConv(shape, pass, x, y, gemm_->isa())) {
    names.insert(shape.dy_sparsity >= kSparse ? names.begin() : names.end(), kWindowSums);
  }
  if (CanRunImplicitConv(shape, x, y)) names.insert(names.begin(), kImplicitGemm);
  if (CanRunTileConv(shape, x, y, gemm_->isa())) names.insert(names.begin(), kTileGemm);
  // Lowering has only ever won where nothing else is generated, or where oneDNN would fill its
  // vectors with the few channels of dx.
  const bool few = pass == ConvPass::kBackwardData && shape.c / shape.groups < kFewChannels;
  if (names.empty() || few) names.emplace_back(kIm2colGemm);
  names.emplace_back(kReference);
  return names;
}

std::unique_ptr<ConvKernel> CpuConv::Make(const ConvShape& shape, ConvPass pass,
                                          const std::string& algorithm, Layout x, Layout y) const {
  Check(shape, x, y);
  if (algorithm == kReference) return MakeReferenceConv(shape, pass, x, y);
  if (algorithm == kImplicitGemm) {
    if (!CanRunImplicitConv(shape, x, y)) {
      throw ConfigError(Describe(shape) +
                        ": implicit_gemm needs plain float32 pictures and a "
                        "horizontal stride of 1; choose another algorithm");
    }
    return MakeImplicitConv(shape, pass, gemm_->isa());
  }
  if (algorithm == kWindowSums) {
    if (!CanRunWindowConv(shape, pass, x, y, gemm_->isa())) {
      throw ConfigError(Describe(shape) +
                        ": window_sums is a backward pass of float32 pictures with channels last, "
                        "one group and no dilation along rows; choose another algorithm");
    }
    return MakeWindowConv(shape, pass, gemm_->isa());
  }
  if (algorithm == kTileGemm) {
    if (!CanRunTileConv(shape, x, y, gemm_->isa())) {
      throw ConfigError(Describe(shape) +
                        ": tile_gemm needs AMX, float32 pictures with channels last, one group "
                        "and small weights; choose another algorithm");
    }
    return MakeTileConv(gemm_, shape, pass);
  }
  if (algorithm == kIm2colGemm) return MakeIm2colConv(gemm_, shape, pass, x, y);
  if (algorithm == kOnednnDirect) {
    return MakeOnednnConv(shape, pass, OnednnAlgorithm::kDirect, x, y);
  }
  if (algorithm == kOnednnWinograd) {
    return MakeOnednnConv(shape, pass, OnednnAlgorithm::kWinograd, x, y);
  }
  return MakeWinograd(shape, pass, algorithm, x, y, gemm_->isa());
}

bool CpuConv::can_pool(const ConvShape& shape) const { return CanPoolConv(shape); }

std::unique_ptr<PooledConvKernel> CpuConv::MakePooled(const ConvShape& shape, Layout y) const {
  return MakePooledConv(shape, y, gemm_->isa());
}

std::vector<Layout> CpuConv::Layouts(int64_t c, DType dtype) const {
  if (dtype != DType::kFloat32 || c == 1) return {{1}};
  if (c % 8 != 0) return {{1}, {c}};  // blocks do not fit: plain pictures are read in place
  const int64_t block = gemm_->lanes() == 16 && c % 16 == 0 ? 16 : 8;
  return block == c ? std::vector<Layout>{{c}} : std::vector<Layout>{{block}, {c}};
}

}  // namespace lockstep::cpu
