#include "kernels/cpu/winograd/winograd.h"

#include "kernels/cpu/winograd/plan.h"
#include "kernels/error.h"

namespace lockstep::cpu {
namespace winograd {
namespace {

constexpr char kFusedSuffix[] = "_fused";
// Planes of a whole batch that the fused gradient may hold, in bytes.
constexpr int64_t kMaxPlaneBytes = 20 << 20;

constexpr struct {
  const char* name;
  Algorithm algorithm;
} kNames[] = {{"winograd_4x3", Algorithm::kF4},
              {"winograd_2x3", Algorithm::kF2},
              {"toeplitz_2x2", Algorithm::kToeplitz2},
              {"winograd_2x5", Algorithm::kF2Of5},
              {"winograd_4x5", Algorithm::kF4Of5}};

bool BlockFits(Layout layout, int64_t lanes) { return layout.block % lanes == 0; }

constexpr int64_t kLeastChannels = 8;

bool KeepsSize(const ConvShape& s) { return s.kh == 3 && s.pad_h == 1 && s.pad_w == 1; }
bool IsSquare2(const ConvShape& s) { return KeepsSize(s) && s.h == 2 && s.w == 2; }

bool IsSupported(const ConvShape& s) {
  return (s.kh == 3 || s.kh == 5) && s.kw == s.kh && s.stride_h == 1 && s.stride_w == 1 &&
         s.pad_h >= 0 && s.pad_h < s.kh && s.pad_w >= 0 && s.pad_w < s.kw && s.dilation_h == 1 &&
         s.dilation_w == 1 && s.groups == 1 && s.dtype == DType::kFloat32 && s.n > 0 && s.c > 0 &&
         s.k > 0 && s.h > 1 && s.w > 1 && s.out_h() > 1 && s.out_w() > 1;
}

// Vectors of channels without a rest.
bool HasWholeVectors(const ConvShape& s, Layout x, Layout y, int64_t lanes) {
  return KeepsSize(s) && s.c % lanes == 0 && s.k % lanes == 0 && BlockFits(x, lanes) &&
         BlockFits(y, lanes);
}

bool HasChannelsLast(const ConvShape& s, Layout x, Layout y) {
  return x.block == s.c && y.block == s.k && s.c >= kLeastChannels && s.k >= kLeastChannels;
}

Algorithm Named(const std::string& name) {
  for (const auto& known : kNames) {
    if (name == known.name) return known.algorithm;
  }
  throw ConfigError("convolution: no fast algorithm \"" + name + "\"");
}

// Rather narrower vectors than a rest of channels.
const IsaKernels* BestThatRuns(const ConvShape& shape, Layout x, Layout y, Isa best) {
  const std::vector<const IsaKernels*> isas = UsableIsas(best);
  for (const IsaKernels* isa : isas) {
    if (IsSupported(shape) && HasWholeVectors(shape, x, y, isa->lanes)) return isa;
  }
  return Runs(shape, x, y, *isas.front()) ? isas.front() : nullptr;
}

Plan MakePlan(const ConvShape& shape, ConvPass pass, Algorithm algorithm, Layout x, Layout y,
              const IsaKernels& isa) {
  return {shape, pass, x, y, &isa, &isa.transforms[static_cast<int>(algorithm)], GetThreads()};
}

// The algorithm with the fewest products for pictures of this size.
std::string FewestProducts(const ConvShape& shape, ConvPass pass) {
  if (IsSquare2(shape)) return "toeplitz_2x2";
  const bool to_x = pass == ConvPass::kBackwardData;
  const int64_t h = to_x ? shape.h : shape.out_h(), w = to_x ? shape.w : shape.out_w();
  const auto tiles = [&](int64_t tile) {
    return ((h + tile - 1) / tile) * ((w + tile - 1) / tile);
  };
  if (shape.kh == 5) return 36 * tiles(2) < 64 * tiles(4) ? "winograd_2x5" : "winograd_4x5";
  return 16 * tiles(2) < 36 * tiles(4) ? "winograd_2x3" : "winograd_4x3";
}

// Whether the transformed weights are larger than the transformed pictures.
bool WeightsDominate(const ConvShape& shape, int64_t tiles) {
  return shape.c * shape.k > tiles * (shape.c + shape.k);
}

int64_t PlaneBytes(const Plan& plan) {
  return plan.points() * plan.tiles() * (plan.Padded(plan.shape.c) + plan.Padded(plan.shape.k)) * 4;
}

}  // namespace

bool Runs(const ConvShape& shape, Layout x, Layout y, const IsaKernels& isa) {
  return IsSupported(shape) &&
         (HasWholeVectors(shape, x, y, isa.lanes) || HasChannelsLast(shape, x, y));
}

std::unique_ptr<ConvKernel> Make(const ConvShape& shape, ConvPass pass,
                                 const std::string& algorithm, Layout x, Layout y,
                                 const IsaKernels& isa) {
  for (const auto& known : kNames) {
    const bool fused = algorithm == std::string(known.name) + kFusedSuffix;
    if (!fused && algorithm != known.name) continue;
    if (known.algorithm == Algorithm::kToeplitz2 && !IsSquare2(shape)) continue;
    if (isa.transforms[static_cast<int>(known.algorithm)].taps != shape.kh) continue;
    const Plan plan = MakePlan(shape, pass, known.algorithm, x, y, isa);
    if (pass == ConvPass::kBackwardWeights) {
      return fused ? MakeFusedGradient(plan) : MakeTiledGradient(plan);
    }
    return fused ? MakeFused(plan) : MakeTiled(plan);
  }
  throw ConfigError("convolution: no fast algorithm \"" + algorithm +
                    "\" for this shape; choose one that WinogradAlgorithms lists");
}

}  // namespace winograd

std::vector<std::string> WinogradAlgorithms(const ConvShape& shape, ConvPass pass, Layout x,
                                            Layout y, Isa best) {
  const winograd::IsaKernels* isa = winograd::BestThatRuns(shape, x, y, best);
  if (isa == nullptr) return {};
  const std::string name = winograd::FewestProducts(shape, pass);
  const winograd::Plan plan = winograd::MakePlan(shape, pass, winograd::Named(name), x, y, *isa);
  const std::string fused = name + winograd::kFusedSuffix;
  if (pass != ConvPass::kBackwardWeights) {
    return {winograd::WeightsDominate(shape, plan.tiles()) ? fused : name};
  }
  const int64_t bytes = winograd::PlaneBytes(plan);
  if (bytes > winograd::kMaxPlaneBytes) return {name};
  if (winograd::WeightsDominate(shape, plan.tiles())) return {fused};
  return {name, fused};
}

std::unique_ptr<ConvKernel> MakeWinograd(const ConvShape& shape, ConvPass pass,
                                         const std::string& algorithm, Layout x, Layout y,
                                         Isa best) {
  const winograd::IsaKernels* isa = winograd::BestThatRuns(shape, x, y, best);
  if (isa == nullptr) {
    throw ConfigError("convolution: \"" + algorithm +
                      "\" needs a float32 kernel of 3x3 or 5x5 and stride 1, and channels last or "
                      "in multiples of 8");
  }
  return winograd::Make(shape, pass, algorithm, x, y, *isa);
}

}  // namespace lockstep::cpu
